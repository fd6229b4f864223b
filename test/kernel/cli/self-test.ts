// cgroup-oom doctor --self-test: passes here, and names the call where one fails.
// lab: left out: many Node.js processes, each of which takes seconds to start there
import t from 'tap'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { cli, placeOf, RunningCli } from '../../helpers/cli.js'
import { MAX, read } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

interface SelfTest {
  ok: boolean
  failed?: { step: string; call: string }
  steps: { name: string; ok: boolean; detail: string }[]
}

const there = (program: string): boolean => spawnSync(program, ['--version']).status === 0

const groups = (dir: string): string[] =>
  readdirSync(dir, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)

const resultOf = (stdout: string): SelfTest =>
  (JSON.parse(stdout) as { selfTest: SelfTest }).selfTest

t.test('it passes, step by step, and leaves nothing', async t => {
  const dir = scratch(t)
  const { status, stdout } = await cli(['doctor', '--self-test', '--in', dir])
  t.equal(status, 0, stdout)
  const steps = stdout.split('\n').filter(line => /^ {2}(OK|FAILED) /.test(line))
  t.equal(steps.length, 9)
  for (const step of steps) t.match(step, /^ {2}OK /)
  // v2 holds it a 16th below.
  t.match(stdout, /fill it until it is starved: 12\d\.\d MiB of 128\.0 MiB/)
  t.match(stdout, 'headroom by the native thread: 32.0 MiB more')
  t.same(groups(dir), [])
})

t.test('below the group that it is started in, or beside it, as JSON', async t => {
  const inside = child(scratch(t), 'inside')
  const { stdout } = await cli(['doctor', '--self-test', '--json'], { inside })
  const { ok, failed, steps } = resultOf(stdout)
  t.match({ ok, failed }, { ok: true, failed: undefined })
  t.ok(steps[0]!.detail.startsWith(`${placeOf(inside)}/cgroup-oom-self-test-`))
})

// By its path: busybox has one of its own, with other options, and prefers it.
const SETPRIV = '/usr/bin/setpriv'

t.test(
  'if memory may not be locked, the step that fails is named',
  { skip: !there(SETPRIV) && 'no setpriv(1)' },
  async t => {
    const dir = scratch(t)
    const under = [
      SETPRIV,
      '--bounding-set=-ipc_lock',
      '--inh-caps=-ipc_lock',
      'prlimit',
      '--memlock=65536:65536',
    ]
    const args = ['doctor', '--self-test', '--json', '--in', dir]
    const { status, stdout, stderr } = await cli(args, { under })
    t.equal(status, 1)
    t.equal(stderr, '')
    const { ok, failed, steps } = resultOf(stdout)
    t.match(
      { ok, failed },
      {
        ok: false,
        failed: { step: 'guard the group from inside', call: /mlock/ },
      },
    )
    t.same(
      steps.filter(step => !step.ok).map(({ name }) => name),
      ['guard the group from inside'],
    )
    t.same(groups(dir), [])
  },
)

t.test(
  'if the limit cannot be raised, the step that fails is named',
  { skip: !there('strace') && 'no strace(1)' },
  async t => {
    const dir = scratch(t)
    const running = new RunningCli(['doctor', '--self-test', '--json', '--in', dir])
    // The process inside, stopped before it has got anywhere, and then given a file that fails.
    let pid = 0
    await until(() => {
      const [name] = groups(dir)
      pid = name === undefined ? 0 : Number(read(join(dir, name), 'cgroup.procs').split('\n')[0])
      return pid !== 0
    })
    process.kill(pid, 'SIGSTOP')
    const file = join(dir, groups(dir)[0]!, MAX)
    const strace = spawn('strace', [
      '-f',
      '-p',
      String(pid),
      '-P',
      file,
      '-e',
      'inject=pwrite64:error=EIO',
      '-o',
      '/dev/null',
    ])
    await once(strace.stderr, 'data') // attached
    process.kill(pid, 'SIGCONT')
    const { status, stdout } = await running.done
    t.equal(status, 1)
    const { ok, failed } = resultOf(stdout)
    t.match(
      { ok, failed },
      {
        ok: false,
        failed: { step: 'headroom by the native thread', call: `write ${MAX}: EIO` },
      },
    )
    t.same(groups(dir), [])
  },
)

t.test('if it is killed in the middle, the keeper removes the group', async t => {
  const dir = scratch(t)
  const running = new RunningCli(['doctor', '--self-test', '--in', dir])
  await until(() => running.stdout.includes('start Node.js inside'))
  running.child.kill('SIGKILL')
  await running.done
  await until(() => groups(dir).length === 0)
})

t.test('Ctrl-C leaves nothing either, whenever it comes', async t => {
  const dir = scratch(t)
  const moments = [
    () => groups(dir).length > 0,
    () => running.stdout.includes('start a keeper'),
    () => running.stdout.includes('fill it'),
  ]
  let running!: RunningCli
  for (const moment of moments) {
    running = new RunningCli(['doctor', '--self-test', '--in', dir])
    await until(() => moment() || running.child.exitCode !== null)
    running.child.kill('SIGINT')
    const { signal } = await running.done
    t.equal(signal, 'SIGINT')
    t.same(groups(dir), [])
  }
})
