// Every example of docs/cli.md, run as it is shown there: `$ command`, then what it prints. Numbers
// may differ, and "…" stands for any lines.
import t from 'tap'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLI, cli } from '../helpers/cli.js'
import { scratch } from '../helpers/scratch.js'

const GROUP = '/sys/fs/cgroup/memory/jobs'
const text = readFileSync('docs/cli.md', 'utf8')
const blocks = [...text.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block]) => block!)

interface Example {
  command: string
  output: string[]
}

function examplesOf(block: string): Example[] {
  return block
    .split(/^\$ /m)
    .filter(Boolean)
    .map(part => {
      const [command, ...output] = part.trimEnd().split('\n')
      return { command: command!, output }
    })
}

/** One line with every number that may differ taken out. */
const plain = (line: string): string =>
  line
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/kernel \S+,/g, 'kernel VERSION,')
    .replace(/\d+(\.\d+)? (µs|ms|s|bytes|KiB)\b/g, 'AMOUNT')
    .replace(/\d+\.\d MiB/g, size => (/^(16|32|64|128)\.0 /.test(size) ? size : 'AMOUNT'))
    .replace(/(run|self-test)-\d+/g, '$1-PID')

/** The shown lines as a pattern for all of the output. */
function pattern(output: readonly string[]): RegExp {
  const lines = output.map(line =>
    line === '…' ? '(?:.*\\n)*?' : `${plain(line).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\n`,
  )
  return new RegExp(`^${lines.join('')}$`)
}

/** A shell inside the group, which is told one command after the other. */
function shell(dir: string, commands: string[]): Promise<string[]> {
  const programs = mkdtempSync(join(tmpdir(), 'cgroup-oom-docs-'))
  const program = join(programs, 'cgroup-oom')
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`)
  chmodSync(program, 0o755)
  const end = (i: number) => `\necho "== ${i}"\n`
  // What `$?` is after a command must still be so after the mark.
  const script = commands
    .map((command, i) => `${command}\nstatus=$?${end(i)}(exit $status)\n`)
    .join('')
  const child = spawn(
    'env',
    [
      '-i',
      `PATH=${programs}:${process.env.PATH}`,
      'sh',
      '-c',
      `exec 2>&1; echo $$ >"${dir}"/cgroup.procs\n${script}`,
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let output = ''
  child.stdout.on('data', data => (output += String(data)))
  return new Promise(resolve =>
    child.once('close', () => {
      rmSync(programs, { recursive: true })
      resolve(output.split(/^== \d+\n/m).slice(0, -1))
    }),
  )
}

t.test('each example prints what is shown', async t => {
  const dir = scratch(t)
  const examples = blocks.flatMap(examplesOf)
  t.ok(examples.length >= 10)
  const outputs = await shell(
    dir,
    examples.map(({ command }) => command.replaceAll(GROUP, dir)),
  )
  t.equal(outputs.length, examples.length)
  for (const [i, { command, output }] of examples.entries()) {
    t.match(plain(outputs[i]!.replaceAll(dir, GROUP)), pattern(output), command)
  }
})

t.test('each command and each of its options is documented, and no other', async t => {
  for (const command of ['doctor', 'rescue', 'watch', 'run']) {
    const { stdout } = await cli([command, '--help'])
    const options = [...stdout.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option!)
    const section = text.split(/^## /m).find(part => part.startsWith(`${command}\n`))!
    t.ok(section, command)
    for (const option of options.filter(one => one !== '--help')) t.match(section, option)
    for (const [, option] of section.matchAll(/`(--[a-z-]+)/g)) {
      t.ok(options.includes(option!), `${command} ${option}`)
    }
  }
})
