// Every example of docs/cli.md and of the README, run as it is shown there: `$ command`, then what it
// prints. Numbers may differ, and "…" stands for any lines. What a command in the background prints may
// come late. An example that runs out of memory does so with one process and in page faults: how often the
// kernel reports and kills a pipeline of two (sh and yes) depends on how busy the machine is.
// lab: left out: many Node.js processes, each of which takes seconds to start there; of one kernel
import t from 'tap'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { CLI, cli } from '../../helpers/cli.js'
import { onV1 } from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'

const GROUP = '/sys/fs/cgroup/memory/jobs'
const text = readFileSync('docs/cli.md', 'utf8')
const blocks = [text, readFileSync('README.md', 'utf8')].flatMap(page =>
  [...page.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block]) => block!),
)

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
    .replace(/\d+\.\d MiB of/g, 'AMOUNT of') // full may be a little less
    .replace(/\d+\.\d MiB/g, size => (/^(16|32|64|128)\.0 /.test(size) ? size : 'AMOUNT'))
    .replace(/(run|self-test)-\d+/g, '$1-PID')

/** The shown lines as a pattern for all of the output. */
function pattern(output: readonly string[]): RegExp {
  const lines = output.map(line =>
    line === '…' ? '(?:.*\\n)*?' : `${plain(line).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\n`,
  )
  return new RegExp(`^${lines.join('')}$`)
}

// Reads commands from fd 3, so that none of them has the next as its input.
const LOOP = `
exec 2>&1
echo $$ >"$0"/cgroup.procs
status=0
while read -r line <&3; do
  eval "(exit $status)
$line"
  status=$?
  echo "$MARK"
done
`
const MARK = '== end of an example =='

t.setTimeout(900_000)

t.test('each example prints what is shown', onV1('it is v1 that is shown'), async t => {
  const dir = scratch(t, undefined, 600)
  const programs = mkdtempSync(join(tmpdir(), 'cgroup-oom-docs-'))
  t.teardown(() => rmSync(programs, { recursive: true }))
  const program = join(programs, 'cgroup-oom')
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`)
  chmodSync(program, 0o755)
  const variables = [`PATH=${programs}:${process.env.PATH}`, `MARK=${MARK}`]
  const shell = spawn('env', ['-i', ...variables, 'sh', '-c', LOOP, dir], {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
  })
  t.teardown(() => shell.kill('SIGKILL'))
  let output = ''
  shell.stdout!.on('data', data => (output += String(data)))

  const examples = blocks.flatMap(examplesOf)
  t.ok(examples.length >= 10)
  for (const [i, example] of examples.entries()) {
    const shown = pattern(example.output)
    const printed = () => plain(output.replace(`${MARK}\n`, '').replaceAll(dir, GROUP))
    const commands = shell.stdio[3] as Writable
    commands.write(`${example.command.replaceAll(GROUP, dir)}\n`)
    await until(() => output.includes(MARK))
    const patience = performance.now() + 60_000
    await until(() => shown.test(printed()) || performance.now() > patience)
    t.match(printed(), shown, `${i}: ${example.command}`)
    output = ''
  }
})

t.test('each command and each of its options is documented, and no other', async t => {
  for (const command of ['doctor', 'rescue', 'watch', 'guard', 'run', 'report', 'completion']) {
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
