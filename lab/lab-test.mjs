// Runs test/kernel/ under other kernels, one boot for each kernel and version of the memory controller,
// and prints one table: node lab/lab-test.mjs [options] [file…]
// The first lines of each file have the tags that decide whether it takes part (tags.mjs).
import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Lab } from './machine.mjs'
import { results } from '../scripts/tap.mjs'
import { fail, files, root } from '../scripts/run.mjs'
import { tagsOf } from './tags.mjs'

/** Debian's kernels have the v1 controller up to 6.1. */
const MATRIX = ['5.10/v1', '5.10/v2', '6.1/v1', '6.1/v2', '6.12/v2', 'newest/v2']

const HELP = `npm run test:lab -- [options] [file…]

Runs the files (by default all of test/kernel/ that are not tagged as left out) under each kernel and prints one table.
Needs no privileges; fails when a test fails. A kernel that Debian's archive does not have any more is named in the
table.

  -a, --all                     all files
  -s, --short                   only the files that are tagged as short on the machine
  -k, --kernel KERNEL/VERSION   this one only, as 6.1/v1; may be given again (${MATRIX.join(', ')})
  -j, --jobs N                  files at once in a machine (2)
  -m, --machines N              machines at once (2)
  -t, --timeout SECONDS         for each file (600)
  -b, --boot SECONDS            for each machine (3600)
  -v, --verbose                 reasons of skipped tests, time of each file
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string', short: 'k', multiple: true, default: MATRIX },
    all: { type: 'boolean', short: 'a' },
    short: { type: 'boolean', short: 's' },
    jobs: { type: 'string', short: 'j', default: '2' },
    machines: { type: 'string', short: 'm', default: '2' },
    timeout: { type: 'string', short: 't', default: '600' },
    boot: { type: 'string', short: 'b', default: '3600' },
    verbose: { type: 'boolean', short: 'v' },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}
const entries = values.kernel.map(entry => entry.split('/'))
if (entries.some(([, version]) => !['v1', 'v2'].includes(version))) fail(HELP)
const unknown = positionals.filter(file => !existsSync(file))
if (unknown.length > 0) fail(`no such file: ${unknown.join(', ')}`)
const nameOf = file => file.replace(/^test\/kernel\/|\.[jt]s$/g, '')
const tags = new Map(files('test/kernel', ['.ts']).map(file => [file, tagsOf(file)]))

const all = positionals.length === 0 && !values.short

function chosenFor(machine) {
  if (positionals.length > 0) return positionals.map(file => relative(root, resolve(file)))
  return [...tags].flatMap(([file, { leftOut, short }]) => {
    const chosen = values.short ? short(machine) : values.all || leftOut === undefined
    return chosen ? [file] : []
  })
}

/** Which machines one of the matrix takes: the files of each, and the options of its kernel. */
function machinesFor(machine) {
  const chosen = chosenFor(machine)
  const js = list => list.map(file => file.replace(/ts$/, 'js'))
  const apart = chosen.flatMap(file =>
    (tags.get(file)?.options(machine) ?? []).map(option => ({
      files: js([file]),
      options: [option],
    })),
  )
  const together = chosen.filter(file => !tags.get(file)?.needsOption)
  return together.length > 0 ? [{ files: js(together), options: [] }, ...apart] : apart
}

/** Prints what failed, as it comes. */
function report(where, result, { seconds, output }) {
  if (values.verbose) {
    console.log(`${where} ${nameOf(result.file)} ${seconds.toFixed(1)} s`)
    for (const line of result.why) console.log(`  ${line}`)
  }
  if (result.failed === 0) return
  console.log(`\n${where} ${result.file}: ${result.reasons.join('; ')}\n${output.trimEnd()}\n`)
}

async function runEntry(lab, [wanted, version]) {
  let kernel
  try {
    kernel = await lab.kernel(wanted)
  } catch (error) {
    console.log(`${wanted}: ${error.message}`)
    return { wanted, version, missing: true }
  }
  const where = `${wanted}/${version}`
  console.log(`== ${where}: ${kernel.release}`)
  const began = Date.now()
  let again = 0
  const done = []
  for (const { files, options } of machinesFor(`${wanted}/${version}`)) {
    const machine = { lab, kernel, version, options, where: [where, ...options].join(' ') }
    const first = await boot(machine, files)
    // Emulated time jumps: a file that fails is run again, alone, and the table counts it.
    const failed = first.filter(result => result.failed > 0).map(({ file }) => file)
    done.push(...first.filter(({ file }) => !failed.includes(file)))
    if (failed.length === 0) continue
    again += failed.length
    console.log(`${machine.where}: once more, alone: ${failed.join(' ')}`)
    done.push(...(await boot(machine, failed, '1')))
  }
  const sum = key => done.reduce((total, result) => total + result[key], 0)
  const seconds = (Date.now() - began) / 1000
  return {
    ...{ wanted, version, release: kernel.release, seconds, again },
    ...{ passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') },
  }
}

/** One boot: the result of each file; one that did not run counts as failed. */
async function boot({ lab, kernel, version, options, where }, chosen, jobs = values.jobs) {
  const done = []
  let text = ''
  const { status, console: log } = await lab.run({
    kernel,
    version,
    options,
    argv: ['node', 'lab/guest.mjs', jobs, values.timeout, ...chosen],
    // What takes its time, by night.
    env: { TAP_TIMEOUT: values.timeout, ...(all ? { OOM_LONG: '1' } : {}) },
    seconds: Number(values.boot),
    output: data => {
      text += data
      for (let end; (end = text.indexOf('\n')) >= 0; text = text.slice(end + 1)) {
        const line = JSON.parse(text.slice(0, end))
        const result = results(line)
        done.push(result)
        report(where, result, line)
      }
    },
  })
  const missing = chosen.filter(file => !done.some(result => result.file === file))
  if (status !== 0 || missing.length > 0) {
    console.log(`${where}: the machine ended with ${status}; not run: ${missing.join(' ')}\n${log}`)
  }
  return [...done, ...missing.map(file => ({ file, passed: 0, failed: 1, skipped: 0 }))]
}

function row(cells) {
  const [kernel, version, ...rest] = cells.map(String)
  return [kernel.padEnd(24), version.padEnd(7), ...rest.map(cell => cell.padStart(7))].join(' ')
}

try {
  const lab = new Lab()
  // The one with most files first, so that it does not run alone at the end.
  const sizeOf = entry => chosenFor(entry.join('/')).length
  const left = [...entries].sort((a, b) => sizeOf(b) - sizeOf(a))
  const byEntry = new Map()
  const worker = async () => {
    for (let entry; (entry = left.shift()) !== undefined;) {
      byEntry.set(entry, await runEntry(lab, entry))
    }
  }
  await Promise.all(Array.from({ length: Number(values.machines) }, worker))
  const rows = entries.map(entry => byEntry.get(entry))
  console.log(`\n${row(['kernel', 'version', 'passed', 'failed', 'skipped', 'again', 'seconds'])}`)
  for (const r of rows) {
    if (r.missing) console.log(`${row([r.wanted, r.version])} not to be had`)
    else
      console.log(
        row([r.release, r.version, r.passed, r.failed, r.skipped, r.again, Math.round(r.seconds)]),
      )
  }
  if (rows.every(r => r.missing)) fail('no kernel was to be had')
  process.exitCode = rows.some(r => r.failed > 0) ? 1 : 0
} catch (error) {
  fail(`lab: ${error.message}`)
}
