// What the scripts share: starting programs, several at once, and files by ending.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Ends the script with a message for its user, without a stack trace. */
export function fail(message) {
  console.error(message)
  process.exit(1)
}

/** Runs a program in the project's root: { ok, code, output }. A program that is not there is a failure. */
export function run(command, args, options = {}) {
  return new Promise(resolve => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', text => (output += text))
    child.on('error', error => resolve({ ok: false, output: error.message }))
    child.on('close', code => resolve({ ok: code === 0, code, output }))
  })
}

/** As run(), but a failure ends the script with what the program printed. */
export async function must(command, args, options) {
  const { ok, output } = await run(command, args, options)
  if (!ok) fail(`${command} ${args.join(' ')}\n${output}`)
  return output
}

/** Calls `task` for each item, as many at once as there are processors. */
export async function inParallel(items, task) {
  const left = [...items]
  const worker = async () => {
    for (let item; (item = left.shift()) !== undefined;) await task(item)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
}

/** Rows of texts as a table. */
export function tableOf(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  const line = row => row.map((cell, i) => cell.padEnd(widths[i])).join('  ')
  return rows.map(row => line(row).trimEnd()).join('\n')
}

/** The files below a directory whose names end so, sorted, relative to the root. */
export function files(directory, endings) {
  return readdirSync(join(root, directory), { recursive: true })
    .filter(name => endings.some(ending => name.endsWith(ending)))
    .map(name => join(directory, name))
    .sort()
}
