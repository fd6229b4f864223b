// spawn() against child_process.spawn, option by option: what a caller can see must be the same.
// lab: left out: compares with child_process, not with the kernel
import { chmodSync, mkdtempSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { SpawnOptions } from 'node:child_process'
import t, { type Test } from 'tap'
import { openGroup } from '../../helpers/group.js'
import { scratch } from '../../helpers/scratch.js'
import { sideBySide, type Seen } from '../../helpers/side-by-side.js'

// More than root's own, so that giving them up shows.
process.setgroups!([0, 12, 34])

const temp = mkdtempSync(join(tmpdir(), 'cgroup-oom-spawn-'))
chmodSync(temp, 0o755)
const script = (name: string, text: string, mode = 0o755): string => {
  const file = join(temp, name)
  writeFileSync(file, text)
  chmodSync(file, mode)
  return file
}

// Both have been started, or both have failed, as expected; and in the same way.
async function same(
  t: Test,
  command: string,
  args: string[],
  options: SpawnOptions | (() => SpawnOptions) = {},
  act?: Parameters<typeof sideBySide>[4],
): Promise<Seen> {
  const group = await openGroup(t, scratch(t))
  const [node, ours] = await sideBySide(group, command, args, options, act)
  t.strictSame(ours, node)
  return ours
}

// What a process inherits, but for the numbers that name it and its sockets.
const INHERITED = `
  cat /proc/self/status | grep -E '^(Umask|Uid|Gid|Groups|Sig|Shd|Cap|NoNew|Seccomp|Cpus_allowed):'
  cat /proc/self/limits /proc/self/oom_score_adj
  ls -l /proc/self/fd | sed -E 's/^(.{10}).* ([0-9]+) -> ([^:]*).*/\\1 \\2 \\3/' | grep -v '/proc/'
  tr '\\0' '\\n' < /proc/self/environ | sort
  cut -d' ' -f19 /proc/self/stat
  pwd`

t.test('what a process inherits', async t => {
  const log = openSync(join(temp, 'log'), 'w')
  t.teardown(() => closeSync(log))
  const cases: Record<string, SpawnOptions> = {
    nothing: {},
    'all ignored': { stdio: 'ignore' },
    'a short list': { stdio: ['ignore', 'pipe'] },
    'no stdin': { stdio: [null, 'pipe', undefined] },
    'more descriptors': { stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'ignore', log, 'overlapped'] },
    ipc: { stdio: ['pipe', 'pipe', 'pipe', 'ignore', 'ipc'] },
    env: { env: { PATH: process.env.PATH, A: '1', B: 'two words', C: undefined } },
    cwd: { cwd: temp },
    'cwd as URL': { cwd: pathToFileURL(temp) },
    uid: { uid: 65534 },
    'uid and gid': { uid: 65534, gid: 65534, env: {} },
    gid: { gid: 12 },
    'gid alone, none': { gid: 65533 },
    'a large uid': { uid: -2, gid: -2 },
  }
  for (const [name, options] of Object.entries(cases)) {
    await t.test(name, async t => {
      const seen = await same(t, '/bin/sh', ['-c', INHERITED], options)
      t.strictSame(seen.events[0], ['spawn'])
      t.equal(seen.exitCode, 0)
      if (name !== 'all ignored') t.match(seen.output[1], /Umask/)
    })
  }
})

t.test('the command line', async t => {
  const show = ['-c', 'tr "\\0" "|" < /proc/$$/cmdline', 'name', 'a b', '', '*']
  for (const [name, command, args, options] of [
    ['plain', 'sh', show, {}],
    ['argv0', 'sh', show, { argv0: 'other name' }],
    ['shell', 'tr "\\0" "|" < /proc/$$/cmdline; echo $0', ['x', 'y'], { shell: true }],
    ['no shell', 'sh', show, { shell: false }],
    ['empty shell', 'sh', show, { shell: '' }],
    ['named shell', 'echo $BASH_VERSION', [], { shell: '/bin/bash' }],
    ['shell with argv0', 'echo $0', [], { shell: true, argv0: 'me' }],
    ['a missing shell', 'echo', [], { shell: '/none/sh' }],
    ['a script without an interpreter line', script('plain', 'echo ran "$@"'), ['1'], {}],
    ['relative to cwd', './plain', [], { cwd: temp }],
    ['on the PATH given', 'plain', [], { env: { PATH: `/none::${temp}` } }],
    ['in an empty PATH: the directory', 'plain', [], { cwd: temp, env: { PATH: '' } }],
    ['without PATH', 'true', [], { env: {} }],
  ] as [string, string, string[], SpawnOptions][]) {
    await t.test(name, t => same(t, command, args, options))
  }
})

t.test('commands that do not start', async t => {
  const text = script('text', 'x', 0o644)
  for (const [name, code, command, options] of [
    ['missing', 'ENOENT', 'cgroup-oom-no-such-command', {}],
    ['missing path', 'ENOENT', '/none/at/all', { stdio: ['pipe', 'ignore', 'pipe', 'pipe'] }],
    ['missing with ipc', 'ENOENT', './none', { stdio: ['pipe', 'pipe', 'pipe', 'ipc'] }],
    ['not executable', 'EACCES', text, {}],
    ['not executable, on the PATH', 'EACCES', 'text', { env: { PATH: temp } }],
    ['a directory', 'EACCES', temp, {}],
    ['cwd missing', 'ENOENT', 'true', { cwd: '/none' }],
    ['cwd missing, and the command', 'ENOENT', 'none', { cwd: '/none' }],
    ['not for that user', 'EACCES', script('mine', '#!/bin/sh\n', 0o700), { uid: 65534 }],
    ['no interpreter', 'ENOENT', script('odd', '#!/none/interpreter\n'), {}],
  ] as [string, string, string, SpawnOptions][]) {
    await t.test(name, async t => {
      const group = await openGroup(t, scratch(t))
      const [node, ours] = await sideBySide(group, command, ['an argument'], {
        ...options,
        argv0: 'zero',
      })
      t.match(node.events[0], ['error', { code }])
      // Seen only when executed: the launcher had a pid.
      if (name === 'not for that user' || name === 'no interpreter') node.pid = true
      t.strictSame(ours, node)
    })
  }

  await t.test('too long arguments throw, as with child_process', async t => {
    const seen = await same(t, 'true', ['x'.repeat(1 << 20)])
    t.match(seen.thrown, { code: 'E2BIG', syscall: 'spawn' })
  })

  await t.test('what Node.js throws when executing is an error event', async t => {
    const group = await openGroup(t, scratch(t))
    const loop = script('busy', '')
    const fd = openSync(loop, 'r+')
    t.teardown(() => closeSync(fd))
    const [node, ours] = await sideBySide(group, loop, [])
    t.match(node.thrown, { code: 'ETXTBSY' })
    t.match(ours.events, [
      ['error', { code: 'ETXTBSY', syscall: `spawn ${loop}`, path: loop, spawnargs: [] }],
      ['close', (node.thrown as NodeJS.ErrnoException).errno, null],
    ])
  })
})

t.test('a child ends as with child_process', async t => {
  const wait = (child: { once(e: 'spawn', f: () => void): unknown }, then: () => void) =>
    child.once('spawn', then)
  await t.test('exit code', async t => {
    t.strictSame((await same(t, 'sh', ['-c', 'exit 7'])).events[1], ['exit', 7, null])
  })
  await t.test('127 of the command itself is an exit', t => same(t, 'sh', ['-c', 'exit 127']))
  await t.test('own signal', t => same(t, 'sh', ['-c', 'kill -SEGV $$']))
  await t.test('kill', t => same(t, 'sleep', ['1000'], {}, c => wait(c, () => c.kill('SIGINT'))))
  await t.test('kill at once', t => same(t, 'sleep', ['1000'], {}, c => void c.kill()))
  await t.test('timeout', async t => {
    const seen = await same(t, 'sleep', ['1000'], { timeout: 100, killSignal: 'SIGHUP' })
    t.equal(seen.signalCode, 'SIGHUP')
  })
  await t.test('aborted', async t => {
    const seen = await same(t, 'sleep', ['1000'], { signal: AbortSignal.abort(new Error('why')) })
    t.match(seen.events, [['spawn'], ['error', { name: 'AbortError' }], ['exit', null, 'SIGTERM']])
  })
  await t.test('abort later', async t => {
    let abort!: AbortController
    await same(
      t,
      'sleep',
      ['1000'],
      () => ({ signal: (abort = new AbortController()).signal, killSignal: 'SIGKILL' }),
      child => wait(child, () => abort.abort()),
    )
  })
})

t.test('streams', async t => {
  await t.test('stdin to stdout', async t => {
    const seen = await same(t, 'cat', [], {}, c => c.stdin!.end('x'.repeat(300_000)))
    t.equal(seen.output[1]!.length, 300_000)
  })
  await t.test('a fourth descriptor works in both directions', async t => {
    const seen = await same(
      t,
      'sh',
      ['-c', 'head -n1 <&3 >&3'],
      { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] },
      c => (c.stdio[3] as import('node:net').Socket).end('line\n'),
    )
    t.equal(seen.output[3], 'line\n')
  })
  await t.test('spawn comes before data, however late the loop polls', async t => {
    const group = await openGroup(t, scratch(t))
    const order: string[] = []
    await sideBySide(group, 'echo', ['x'], {}, child => {
      child.on('spawn', () => order.push('spawn'))
      child.stdout!.on('data', () => order.push('data'))
      // As a busy event loop: everything has happened by the time it polls.
      while (!readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes(') Z ')) {
        // busy on purpose: the loop must not turn
      }
    })
    t.strictSame(order, ['spawn', 'data', 'spawn', 'data'])
  })
})

t.test("a script without an interpreter is the shell's", async t => {
  const plain = script('plain', 'echo "$0 $#: $1"')
  t.equal((await same(t, plain, ['a b'])).exitCode, 0)
  await same(t, script('empty', ''), [])
  await same(t, 'plain', ['x'], { env: { PATH: `/nowhere:${temp}:/bin:/usr/bin` } })
  await same(t, 'plain', [], { argv0: 'other', env: { PATH: `${temp}:/bin:/usr/bin` } })
})

t.test('messages pass in both directions', async t => {
  const program = `process.on('message', m => { process.send({ got: m }); process.disconnect() })`
  for (const serialization of ['json', 'advanced'] as const) {
    const message = serialization === 'json' ? { a: [1] } : { a: new Map([[1, 2n]]) }
    await t.test(serialization, async t => {
      const seen = await same(
        t,
        process.execPath,
        ['-e', program],
        { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization },
        child => child.send(message),
      )
      t.strictSame(seen.events.slice(0, 3), [
        ['spawn'],
        ['message', { got: message }],
        ['disconnect'],
      ])
    })
  }
})

t.test('detached gives the child a session of its own', async t => {
  for (const detached of [true, false]) {
    const seen = await same(
      t,
      'sh',
      ['-c', 'set -- $(cat /proc/$$/stat); [ $5 = $$ ] && [ $6 = $$ ]'],
      { detached },
    )
    t.equal(seen.exitCode, detached ? 0 : 1)
  }
})
