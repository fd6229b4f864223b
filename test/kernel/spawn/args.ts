// Arguments of spawn(): the wrong ones are thrown before anything has been started or opened, with
// the codes that child_process.spawn has.
// lab: left out: arguments, checked before any system call
import * as child_process from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import t from 'tap'
import { spawn } from '../../../lib/index.js'
import { openGroup } from '../../helpers/group.js'
import { read } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

type Loose = (command?: unknown, args?: unknown, options?: unknown) => unknown
const loose = spawn as unknown as Loose

const codeOf = (call: () => unknown): unknown => {
  try {
    call()
    return 'nothing thrown'
  } catch (error) {
    return [(error as Error).name, (error as NodeJS.ErrnoException).code]
  }
}

t.test('what Node.js refuses is refused with the same code', async t => {
  const group = await openGroup(t, scratch(t))
  const before = readdirSync('/proc/self/fd').length
  const bad: [command: unknown, args: unknown, options?: object][] = [
    [undefined, []],
    [1, []],
    ['', []],
    ['a\0b', []],
    ['true', 'x'],
    ['true', 1],
    ['true', true],
    ['true', ['a\0b']],
    ['true', [], { argv0: 1 }],
    ['true', [], { argv0: 'a\0b' }],
    ['true', [], { shell: 1 }],
    ['true', [], { shell: 'a\0b' }],
    ['true', [], { cwd: 1 }],
    ['true', [], { cwd: 'a\0b' }],
    ['true', [], { env: { A: 'a\0b' } }],
    ['true', [], { uid: 'root' }],
    ['true', [], { uid: 1.5 }],
    ['true', [], { uid: NaN }],
    ['true', [], { gid: 2 ** 31 }],
    ['true', [], { gid: {} }],
    ['true', [], { detached: 1 }],
    ['true', [], { stdio: 'ipc' }],
    ['true', [], { stdio: 'other' }],
    ['true', [], { stdio: 5 }],
    ['true', [], { stdio: ['ipc', 'ipc'] }],
    ['true', [], { stdio: [{}] }],
    ['true', [], { timeout: -1 }],
    ['true', [], { timeout: 1.5 }],
    ['true', [], { killSignal: 'SIGNONE' }],
    ['true', [], { signal: {} }],
    ['true', [], { serialization: 'other', stdio: ['ipc'] }],
    ['true', [], { windowsHide: 1 }],
  ]
  for (const [command, args, options = {}] of bad) {
    const node = codeOf(() =>
      (child_process.spawn as unknown as Loose)(command, args, { ...options }),
    )
    t.strictSame(
      codeOf(() => loose(command, args, { ...options, group })),
      node,
      JSON.stringify([command, args, options]),
    )
    t.type(node, Array)
  }
  t.equal(readdirSync('/proc/self/fd').length, before)
  t.equal(read(group.path, 'cgroup.procs'), '')
})

t.test('the options that only spawn() has are checked', async t => {
  const group = await openGroup(t, scratch(t))
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  t.throws(() => loose('true', [], null), type)
  t.throws(() => loose('true', [], { group: null }), type)
  t.throws(() => loose('true', [], { group: group.path }), type)
  t.throws(() => loose('true', [], { group: { path: group.path } }), type)
  t.throws(() => loose('true', [1], { group }), type)
  t.throws(() => loose('true', [1]), type)
  t.throws(() => loose('true', { killGroup: true }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => loose('true', { oomScoreAdj: 1001 }), { code: 'ERR_OUT_OF_RANGE' })
  await group.close()
  t.throws(() => spawn('true', [], { group }), { name: 'OomError', code: 'ERR_CLOSED' })
})

t.test('arguments may be left out, as with Node.js', async t => {
  const group = await openGroup(t, scratch(t))
  const calls = [
    () => spawn('true', { group, stdio: 'ignore' }),
    () => spawn('true', undefined, { group, stdio: 'ignore' }),
    () => loose('true', null, { group }) as child_process.ChildProcess,
  ]
  for (const call of calls) {
    const child = call()
    t.strictSame(child.spawnargs, ['true'])
    t.strictSame(await once(child, 'exit'), [0, null])
  }
  const shell = spawn('exit 7', { group, shell: true })
  const ends: [Writable, Readable, Readable] = [shell.stdin, shell.stdout, shell.stderr]
  t.ok(ends.every(Boolean))
  t.strictSame(await once(shell, 'exit'), [7, null])
})

t.test('options are not changed, and the group may be closed at once', async t => {
  const group = await openGroup(t, scratch(t))
  const stdio: ('pipe' | 'ignore')[] = ['ignore']
  const options = Object.freeze({ group, stdio: Object.freeze(stdio) as typeof stdio, uid: 0 })
  const child = spawn('true', [], options)
  await group.close()
  t.strictSame(await once(child, 'exit'), [0, null])
})

t.test('the types of all arguments are checked', async t => {
  const group = await openGroup(t, scratch(t))
  const all = spawn('cat', [], { group })
  const ends: [Writable, Readable, Readable] = [all.stdin, all.stdout, all.stderr]
  const some = spawn('true', [], { group, stdio: ['ignore', 'pipe', 'inherit'] })
  const parts: [null, Readable, null] = [some.stdin, some.stdout, some.stderr]
  const any: child_process.ChildProcess = spawn('true', [], { group, stdio: 'ignore' })
  t.ok(ends.every(Boolean))
  t.strictSame(parts.map(Boolean), [false, true, false])
  t.type(any, child_process.ChildProcess)
  all.stdin.end()
  await Promise.all([all, some, any].map(child => once(child, 'close')))
})
