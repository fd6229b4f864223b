// groupOptions(): the launcher as other spawners use it, here those of Node.js and script(1). Those of the npm
// registry are in spawners.ts.
import { fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { groupOptions, MemoryGroup, probe } from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { fillUp, giveRoom, waits } from '../../helpers/full.js'
import { openGroup } from '../../helpers/group.js'
import { groupOf, HIERARCHY, killsIn, MiB, mount, read } from '../../helpers/memory-files.js'
import { child as below, scratch, until } from '../../helpers/scratch.js'

/** The line of /proc/PID/cgroup of a member. */
const lineOf = (dir: string) => `${HIERARCHY}${dir.slice(mount.length)}\n`
const run = (prefix: { command: string; args: string[] }, ...rest: string[]) =>
  spawnSync(prefix.command, [...prefix.args, ...rest], { encoding: 'utf8' })

t.test('what follows the arguments is in the group from its first instruction', async t => {
  const dir = scratch(t)
  const group = await openGroup(t, dir)
  const launcher = groupOptions(group)
  const { stdout, stderr, status } = run(
    launcher,
    'sh',
    '-c',
    '(cat /proc/self/cgroup); echo "$0" "$@"',
    'x',
    'y z',
  )
  t.match(stdout, lineOf(dir))
  t.match(stdout, /\nx y z\n$/)
  t.strictSame([stderr, status], ['', 0])
  t.equal(run(launcher, 'sh', '-c', 'exit 7').status, 7)
  // What it allocates is charged, and the kill is the command's.
  const small = await openGroup(t, scratch(t, 4 * MiB))
  const { command, args } = groupOptions(small)
  const hog = spawn(command, [...args, compiled('hog')], { stdio: ['pipe', 'ignore', 'ignore'] })
  hog.stdin.on('error', () => {})
  hog.stdin.write(`fill ${16 * MiB}\n`)
  t.strictSame(await once(hog, 'exit'), [null, 'SIGKILL'])
  t.equal(killsIn(small.path), 1)
})

t.test('child_process.fork, with its channel', async t => {
  const dir = scratch(t)
  const group = await openGroup(t, dir)
  const { command, args } = groupOptions(group, { oomScoreAdj: 1000 })
  const worker = t.testdir({
    'worker.cjs': `
      const { readFileSync } = require('fs')
      process.on('message', message => process.send({
        message,
        cgroup: readFileSync('/proc/self/cgroup', 'utf8'),
        score: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
        args: process.argv.slice(2),
        execPath: process.execPath,
      }))`,
  })
  for (const serialization of ['json', 'advanced'] as const) {
    const child = fork(join(worker, 'worker.cjs'), ['a', 'b c'], {
      execPath: command,
      execArgv: [...args, process.execPath],
      env: {},
      serialization,
    })
    child.send({ hello: [1, 2] })
    const [answer] = (await once(child, 'message')) as [Record<string, unknown>]
    t.match(answer, { message: { hello: [1, 2] }, score: 1000, args: ['a', 'b c'] })
    t.equal(answer.execPath, process.execPath)
    t.match(answer.cgroup, lineOf(dir))
    t.equal(groupOf(child.pid!), dir)
    child.disconnect()
    t.strictSame(await once(child, 'exit'), [0, null])
  }
})

t.test('the options of child_process.fork as they are', async t => {
  const dir = scratch(t)
  const { fork: options } = groupOptions(await openGroup(t, dir))
  const module = t.testdir({
    'module.cjs': `
      const { execPath, execArgv } = process
      const cgroup = require('fs').readFileSync('/proc/self/cgroup', 'utf8')
      process.send({ execPath, execArgv, cgroup }, () => process.disconnect())`,
  })
  const child = fork(join(module, 'module.cjs'), [], options)
  const [answer] = (await once(child, 'message')) as [Record<string, unknown>]
  t.match(answer, { execPath: process.execPath, execArgv: process.execArgv })
  t.match(answer.cgroup, lineOf(dir))
  t.strictSame(await once(child, 'exit'), [0, null])
})

// Not busybox's.
const SCRIPT = '/usr/bin/script'
const hasScript = spawnSync(SCRIPT, ['--version']).status === 0

t.test('script(1), for a terminal', { skip: !hasScript && 'no script(1)' }, async t => {
  const dir = scratch(t)
  const { command, args } = groupOptions(await openGroup(t, dir))
  const line = 'tty && cat /proc/self/cgroup'
  const child = spawn(command, [...args, SCRIPT, '-qec', line, '/dev/null'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', data => (text += String(data)))
  t.strictSame(await once(child, 'close'), [0, null], text)
  t.match(text, /^\/dev\/pts\/\d+\r\n/)
  t.match(text.replaceAll('\r', ''), lineOf(dir))
})

t.test('a full group: the start waits for room', async t => {
  const dir = scratch(t, 16 * MiB)
  const { command, args } = groupOptions(await openGroup(t, dir))
  const { filled } = await fillUp(t, dir)
  const child = spawn(command, [...args, 'echo', 'through'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', data => (text += String(data)))
  const closed = once(child, 'close')
  await until(() => child.exitCode !== null || waits(dir, child.pid!))
  giveRoom(dir)
  await filled
  t.strictSame(await closed, [0, null])
  t.equal(text, 'through\n')
})

t.test('if the group is gone nothing is started, also where another has its name', async t => {
  const dir = below(scratch(t), 'gone')
  const group = await MemoryGroup.open(dir)
  const launcher = groupOptions(group)
  await group.close()
  t.equal(run(launcher, 'true').status, 0, 'a closed object is no removed group')
  t.throws(() => groupOptions(group), { code: 'ERR_CLOSED' })
  rmdirSync(dir)
  for (const again of [false, true]) {
    if (again) mkdirSync(dir)
    const { status, stdout, stderr } = run(launcher, 'echo', 'no')
    t.strictSame([status, stdout], [125, ''])
    t.match(
      stderr,
      `oom-launcher: the group cannot be joined: No such file or directory: '${dir}'\n`,
    )
  }
  t.equal(read(dir, 'cgroup.procs'), '')
  rmdirSync(dir)
})

t.test('a user who may not join is refused, and so is a command that cannot be run', async t => {
  const dir = scratch(t)
  const launcher = groupOptions(await openGroup(t, dir))
  chmodSync(`${dir}/cgroup.procs`, 0o600)
  // The package's own directory may be out of that user's reach.
  const { status, stderr } = run(
    {
      command: 'sh',
      args: [
        '-c',
        'exec 3<"$1"; shift; exec /usr/bin/setpriv --reuid=65534 --clear-groups /proc/self/fd/3 "$@"',
        'sh',
        launcher.command,
        ...launcher.args,
      ],
    },
    'echo',
    'no',
  )
  t.equal(status, 125)
  t.match(stderr, /cannot be joined: Permission denied/)
  const missing = run(launcher, 'no-such-command')
  t.equal(missing.status, 127)
  t.match(
    missing.stderr,
    "the command cannot be executed: No such file or directory: 'no-such-command'",
  )
  t.equal(run(launcher, '/').status, 126)
  t.equal(run(launcher).status, 127, 'no command at all')
  t.ok(existsSync(dir))
})

t.test('arguments are checked before anything is done', async t => {
  const group = await openGroup(t, scratch(t))
  t.throws(() => groupOptions({} as never), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => groupOptions(group, 1 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => groupOptions(group, { oomScoreAdj: 1001 }), { code: 'ERR_OUT_OF_RANGE' })
  if (!(await probe()).protect.available) {
    t.throws(() => groupOptions(group, { oomScoreAdj: -1000 }), {
      name: 'OomError',
      code: 'EACCES',
    })
  }
  t.match(readFileSync(groupOptions(group).command).subarray(0, 4), Buffer.from('\x7fELF'))
})
