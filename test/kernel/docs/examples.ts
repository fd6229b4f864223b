// Each program of examples/ against the real kernel: that it prints what its head comment promises,
// ends well and leaves no group behind. They load the package by its name: dist/ has to be built.
// lab: left out: many Node.js processes, each of which takes seconds to start there: three minutes
import t, { type Test } from 'tap'
import { execFile, type ExecFileOptions } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { scratch, until } from '../../helpers/scratch.js'

const root = process.cwd()

interface Result {
  code: number | null
  stdout: string
  stderr: string
}

// The test runner's own settings, which it hands down to all Node.js below it, are none of theirs.
const CLEAN = ['-u', 'NODE_OPTIONS', '-u', 'NODE_V8_COVERAGE', process.execPath]

function start(name: string, args: string[], options: ExecFileOptions = {}) {
  let done!: (result: Result) => void
  const result = new Promise<Result>(resolve => (done = resolve))
  const program = join(root, 'examples', name)
  const child = execFile('env', [...CLEAN, program, ...args], options, (_, stdout, stderr) =>
    done({ code: child.exitCode, stdout: String(stdout), stderr: String(stderr) }),
  )
  return { child, result }
}

function groupsBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)
}

/** Runs an example below a scratch group: what it printed. */
async function run(t: Test, name: string, ...args: string[]): Promise<string> {
  const parent = scratch(t)
  const { code, stdout, stderr } = await start(name, [parent, ...args]).result
  t.equal(stderr, '', 'nothing on stderr')
  t.equal(code, 0, 'exit code')
  t.strictSame(groupsBelow(parent), [], 'no group is left')
  return stdout
}

const tests: Record<string, (t: Test) => Promise<void>> = {
  async 'container.js'(t) {
    t.strictSame((await run(t, 'container.js')).split('\n').filter(Boolean), [
      'held by signals: the jobs are stopped until 500 ms are over',
      'fallback: the greedy job was killed, and 0 by the kernel',
      'the modest job has ended with 0, the greedy one by SIGKILL',
    ])
  },
  async 'start.js'(t) {
    const lines = (await run(t, 'start.js')).split('\n')
    const table = lines.slice(lines.findIndex(line => line.includes('time ms')) + 1)
    const rows = table
      .filter(Boolean)
      .map(line => /^ *(-?[\d.]+) +([\d.]+) MiB +([\d.]+) MiB {2}(\w+) +(.+)$/.exec(line)!)
    const told = rows.map(
      ([, , , , who, what]) => `${who} ${what!.replace(/\(pid \d+\)|[\d.]+ ms/g, '…')}`,
    )
    // The guard may see the memory free before the watch sees who was killed.
    const kill = told.indexOf('kernel kills the job')
    if (told[kill - 1]?.startsWith('sentinel episode 2')) {
      told.splice(kill - 1, 2, told[kill]!, told[kill - 1]!)
    }
    t.strictSame(told, [
      'job starts … and allocates without end',
      'kernel episode 1: out of memory, the job waits',
      'handler raises the limit by 32M',
      'sentinel episode 1 is over: limit-raised',
      'kernel episode 2: out of memory, the job waits',
      'handler leaves it alone, on purpose',
      'plan raises the limit by 8M of headroom',
      "sentinel the delay is over: releases the group to the kernel's killer",
      'kernel kills the job',
      'sentinel episode 2 is over: fallback, … late',
      'job is gone: SIGKILL',
    ])
    const times = rows.map(([, time]) => Number(time))
    t.strictSame(
      times,
      [...times].sort((a, b) => a - b),
      'in order',
    )
    t.equal(times[1], 0, 'relative to the first OOM')
    t.equal(rows[1]![3], '64.0')
    t.equal(rows[4]![3], '96.0')
    t.ok(times[7]! - times[4]! >= 999, 'not before the deadline')
  },

  async 'watch.js'(t) {
    const out = await run(t, 'watch.js')
    // v2 counts each try.
    t.match(out, /^oom: [1-9]\d*, at a limit of the group's self\n/)
    t.match(out, 'kill: 1 by the kernel, 1 in all\n')
    t.match(out, 'the job was ended by SIGKILL\n')
    t.match(out, /\nremoved\n$/)
  },

  async 'delay.js'(t) {
    const out = await run(t, 'delay.js')
    t.match(out, /^out of memory: \d+ of 134217728 bytes\nfallback after [\d.]+ ms/)
    t.match(out, 'killed the greedy job: true\nthe small job is still there: true\n')
  },

  // With all its jobs: test/kernel/guard/many-jobs.ts.
  async 'many-jobs.js'(t) {
    const out = await run(t, 'many-jobs.js', '40')
    t.match(out, /^40 jobs in groups of their own, each guarded\nmodest: 36 done; episodes: 0\n/)
    t.match(out, /^growing: 2 done; episodes: [2-9]$/m)
    t.match(out, /^greedy: 2 killed; episodes: [4-9]$/m)
    t.match(out, /\nkills by the kernel: 0\n$/)
  },

  async 'supervise.js'(t) {
    const report: unknown = JSON.parse(await run(t, 'supervise.js'))
    t.match(report, {
      code: null,
      signal: 'SIGKILL',
      episodes: [
        { outcome: 'limit-raised', limit: 64 * 2 ** 20 },
        { outcome: 'killed', limit: 96 * 2 ** 20 },
      ],
      byKernel: 0,
    })
  },

  async 'heap-snapshot.js'(t) {
    const directory = t.testdir()
    const out = await run(t, 'heap-snapshot.js', directory)
    t.match(out, /outcome: killed\nthe job was ended by SIGKILL\n$/)
    const file = /^snapshot: (.+)$/m.exec(out)![1]!
    const snapshot = JSON.parse(readFileSync(file, 'utf8')) as { strings: string[] }
    t.ok(
      snapshot.strings.some(text => text.includes('Leaked')),
      'what has leaked is in it',
    )
  },

  async 'pressure.js'(t) {
    const out = await run(t, 'pressure.js')
    t.equal(out.match(/^shed: \d+ bytes are in use$/gm)?.length, 3)
    t.match(out, /\nOOMs: 0\n$/)
  },

  async 'reserve.js'(t) {
    const out = await run(t, 'reserve.js')
    t.match(out, /^out of memory, ended by: (plan \(ballast\)|recovered \(\))\n/)
    t.match(out, /\nthe job has got all it wanted: true\nreleased 8 MiB, in use: -\d+ MiB\n$/)
  },

  async 'supervisor.js'(t) {
    t.equal(
      await run(t, 'supervisor.js'),
      'tiny: exit code 0, out of memory: no, episodes: 0\n' +
        'modest: exit code 0, out of memory: no, episodes: 0\n' +
        'growing: exit code 0, out of memory: no, episodes: 1\n' +
        'large: exit code 0, out of memory: no, episodes: 1\n' +
        'greedy: SIGKILL, out of memory: yes, episodes: 2\n' +
        'failing: exit code 3, out of memory: no, episodes: 0\n',
    )
  },

  async 'tool-runner.js'(t) {
    t.strictSame((await run(t, 'tool-runner.js')).trimEnd().split('\n'), [
      'answered: 6 times 7 is 42',
      'ended: it needs more than 64 MiB',
      'ended after 2 s',
      'failed with 3',
    ])
  },

  async 'tree.js'(t) {
    const lines = (await run(t, 'tree.js')).trimEnd().split('\n')
    for (const name of ['red', 'green', 'blue']) {
      const events = lines.filter(line => line.startsWith(`${name}:`))
      // v2 may report one OOM's tries one by one.
      t.strictSame(
        events.filter((line, i) => line !== events[i - 1]),
        ['oom', 'kill', 'removed'].map(type => `${name}: ${type}`),
      )
    }
    t.match(lines.at(-1), /^cgroup-oom-example-\d+: removed$/)
  },
}

const programs = readdirSync(join(root, 'examples')).filter(name => name.endsWith('.js'))
t.strictSame(Object.keys(tests).sort(), programs.sort(), 'each example has its test')
t.ok(existsSync(join(root, 'dist/esm/lib/index.js')), 'dist/ is built')
for (const [name, test] of Object.entries(tests)) t.test(name, test)

t.test('interrupted, the demonstration leaves nothing', async t => {
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const parent = scratch(t)
    const { child, result } = start('start.js', [parent])
    let out = ''
    child.stdout!.on('data', text => (out += text))
    await until(() => out.includes('leaves it alone'))
    child.kill(signal)
    const { code, stderr } = await result
    t.equal(code, status)
    t.equal(stderr, '')
    t.strictSame(groupsBelow(parent), [])
  }
})

t.test('where no group can be made, the demonstration prints what to do', async t => {
  // A user who may write to no group.
  const { code, stdout, stderr } = await start('start.js', [], { uid: 65534, gid: 65534 }).result
  const output = stdout + stderr
  t.equal(code, 1)
  t.match(output, /^Missing: +\S/m)
  t.match(output, /^What to do: +\S/m)
  t.notMatch(output, /^ +at /m, 'no stack trace')
})
