// Arming and disposing: what is refused, that nothing has changed then, and what is restored.
import { execFile, fork } from 'node:child_process'
import { getEventListeners, once } from 'node:events'
import { rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { MemoryGroup, type GuardOptions } from '../../../lib/index.js'
import { failure, guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { hogIn } from '../../helpers/hog.js'
import { helperProgram } from '../../helpers/program.js'
import { leaveHeld, Remote } from '../../helpers/remote.js'
import { isHeld, killsIn, limitOf, MiB, mount, onV1, underOom } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const delayMs = 60_000

t.test('a group with a disabled killer is refused, or adopted', async t => {
  const dir = scratch(t, 16 * MiB)
  await leaveHeld(t, dir)
  const group = await openGroup(t, dir)
  const refused = await failure(group.guard({ delayMs }))
  t.match(refused, { name: 'OomError', code: 'ERR_KILLER_DISABLED' })
  t.match(refused.message, /takeOver/)
  t.ok(isHeld(dir))
  const guard = await group.guard({ delayMs, takeOver: true })
  t.ok(isHeld(dir))
  await guard.dispose()
  t.notOk(isHeld(dir), 'left enabled')
})

t.test('a group is adopted in the middle of an OOM', async t => {
  const dir = scratch(t, 16 * MiB)
  await leaveHeld(t, dir)
  const hog = await hogIn(t, dir)
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  const g = await guarded(t, dir, { delayMs, takeOver: true })
  const episode = await g.next()
  await episode.raiseLimit('64M')
  t.equal((await episode.ended).outcome, 'limit-raised')
  await filled
})

t.test('a second guard of the same group is refused, also at the same time', async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await openGroup(t, dir)
  const results = await Promise.allSettled([
    group.guard({ delayMs }),
    group.guard({ delayMs }),
    group.guard({ delayMs }),
  ])
  const made = results.flatMap(r => (r.status === 'fulfilled' ? [r.value] : []))
  t.equal(made.length, 1)
  for (const r of results) {
    if (r.status === 'rejected') t.match(r.reason, { code: 'ERR_KILLER_DISABLED' })
  }
  t.ok(isHeld(dir), 'what the others tried has not hurt the one')
  t.match(await failure(group.guard({ delayMs })), { code: 'ERR_KILLER_DISABLED' })
  await made[0]!.dispose()
  t.notOk(isHeld(dir))
})

// The guardian opens its files meanwhile, and answers for each.
t.test('of groups that are armed at once those whose own files refuse are not touched', async t => {
  const remote = await Remote.start(t)
  const top = scratch(t, undefined, 24)
  const dirs = Array.from({ length: 12 }, (_, i) => child(top, `g${i}`, 16 * MiB))
  const left = dirs.filter((_, i) => i % 3 === 1)
  for (const dir of left) await leaveHeld(t, dir)
  const results = await remote.run<string[]>(`
    const arm = dir => guardGroup(dir, { delayMs: ${delayMs} })
    const dirs = ${JSON.stringify(dirs)}
    const results = await Promise.allSettled(dirs.map(arm))
    return results.map(({ status, reason }) => reason?.code ?? status)`)
  t.same(
    results,
    dirs.map(dir => (left.includes(dir) ? 'ERR_KILLER_DISABLED' : 'fulfilled')),
  )
  t.ok(dirs.every(isHeld))
  remote.child.kill('SIGKILL')
  await remote.exited
  await until(() => dirs.every(dir => isHeld(dir) === left.includes(dir)))
})

t.test(
  'a group below that is held already is named in the error, and nothing is changed',
  async t => {
    const dir = scratch(t, 16 * MiB)
    const a = child(dir, 'a', 8 * MiB)
    const b = child(dir, 'b', 8 * MiB)
    await leaveHeld(t, b)
    const group = await openGroup(t, dir)
    const error = await failure(group.guard({ delayMs }))
    t.match(error, { code: 'ERR_KILLER_DISABLED', path: b })
    t.same([dir, a, b].map(isHeld), [false, false, true])
    // With 'kernel' the groups below are left as they are.
    const guard = await group.guard({ delayMs, descendants: 'kernel' })
    t.same([dir, a, b].map(isHeld), [true, false, true])
    await guard.dispose()
    t.same([dir, a, b].map(isHeld), [false, false, true])
  },
)

t.test('a closed, removed or root group cannot be guarded', async t => {
  const root = await openGroup(t, mount)
  t.match(await failure(root.guard({ delayMs })), { code: 'ERR_ROOT_GROUP' })
  const dir = scratch(t)
  const closed = await MemoryGroup.open(dir)
  await closed.close()
  t.match(await failure(closed.guard({ delayMs })), { code: 'ERR_CLOSED' })
  const inner = child(dir, 'gone')
  const gone = await openGroup(t, inner)
  rmdirSync(inner)
  const { code } = await failure(gone.guard({ delayMs }))
  t.ok(code === 'ENODEV' || code === 'ENOENT', String(code))
  child(dir, 'gone')
  t.match(await failure(gone.guard({ delayMs })), { code }, 'another one of the same name')
})

t.test('wrong options are refused before anything is touched', async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await openGroup(t, dir)
  const type = 'ERR_INVALID_ARG_TYPE'
  const range = 'ERR_OUT_OF_RANGE'
  const value = 'ERR_INVALID_ARG_VALUE'
  const good = { delayMs: 100 }
  const step = { afterMs: 0, action: 'kernel' }
  for (const [code, options] of [
    [type, undefined],
    [type, null],
    [type, 5],
    [type, []],
    [type, {}],
    [type, { delayMs: '5' }],
    [range, { delayMs: -1 }],
    [range, { delayMs: NaN }],
    [range, { delayMs: 1.5 }],
    [range, { delayMs: 2 ** 31 }],
    [range, { delayMs: Infinity }],
    [range, { ...good, maxDelayMs: 99 }],
    [type, { ...good, maxDelayMs: null }],
    [value, { ...good, fallback: 'none' }],
    [type, { ...good, fallback: 1 }],
    [type, { ...good, plan: step }],
    [type, { ...good, plan: [null] }],
    [type, { ...good, plan: [{ action: 'kernel' }] }],
    [range, { ...good, plan: [{ ...step, afterMs: 100 }] }],
    [range, { ...good, plan: [{ ...step, afterMs: -1 }] }],
    [value, { ...good, plan: [{ ...step, action: 'explode' }] }],
    [range, { ...good, plan: Array.from({ length: 17 }, () => step) }],
    [value, { ...good, plan: [{ afterMs: 0, action: 'headroom' }] }],
    [value, { ...good, plan: [{ afterMs: 0, action: 'ballast' }] }],
    [type, { ...good, plan: [{ afterMs: 0, action: 'signal' }] }],
    ['ERR_UNKNOWN_SIGNAL', { ...good, plan: [{ afterMs: 0, action: 'signal', signal: 'SIGX' }] }],
    [range, { ...good, plan: [{ afterMs: 0, action: 'signal', signal: 'SIGHUP', to: 0 }] }],
    [value, { ...good, plan: [{ afterMs: 0, action: 'signal', signal: 'SIGHUP', to: 'me' }] }],
    [type, { ...good, reserve: 5 }],
    [range, { ...good, reserve: { ballast: 0 } }],
    [range, { ...good, reserve: { headroom: -1 } }],
    [type, { ...good, guardian: 'yes' }],
    [range, { ...good, guardian: { graceMs: 1 } }],
    [value, { ...good, descendants: 'all' }],
    [type, { ...good, dryRun: 'yes' }],
    [type, { ...good, takeOver: 1 }],
    [type, { ...good, signal: {} }],
    [value, { ...good, hold: { freeze: 'maybe' } }],
  ] as [string, GuardOptions][]) {
    t.match(await failure(group.guard(options)), { code }, JSON.stringify(options))
  }
  t.notOk(isHeld(dir))
})

t.test('aborting the signal ends the guard before, during and after arming', async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await openGroup(t, dir)
  const reason = new Error('why')
  const aborted = AbortSignal.abort(reason)
  t.match(await failure(group.guard({ delayMs, signal: aborted })), {
    name: 'AbortError',
    code: 'ABORT_ERR',
  })
  t.notOk(isHeld(dir))

  const during = new AbortController()
  const arming = group.guard({ delayMs, signal: during.signal })
  during.abort(reason)
  await t.rejects(arming, { name: 'AbortError', cause: reason })
  t.notOk(isHeld(dir))

  const later = new AbortController()
  const guard = await group.guard({ delayMs, signal: later.signal })
  const iterator = guard[Symbol.asyncIterator]()
  const next = iterator.next()
  t.ok(isHeld(dir))
  later.abort(reason)
  await t.rejects(next, { name: 'AbortError', cause: reason })
  await guard.dispose()
  t.notOk(isHeld(dir))

  // Disposed by hand, the guard no longer listens.
  const kept = new AbortController()
  await (await group.guard({ delayMs, signal: kept.signal })).dispose()
  t.same(getEventListeners(kept.signal, 'abort'), [])
})

t.test('dispose() ends the iterators, and may be called twice', async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await openGroup(t, dir)
  {
    await using guard = await group.guard({ delayMs })
    t.equal(guard.group, group)
    t.ok(isHeld(dir))
    const next = guard[Symbol.asyncIterator]().next()
    await guard.dispose()
    t.match(await next, { done: true })
    t.match(await guard[Symbol.asyncIterator]().next(), { done: true })
  }
  t.notOk(isHeld(dir))
  // The group may be closed while it is guarded: the guard holds on to it.
  const other = await MemoryGroup.open(dir)
  const guard = await other.guard({ delayMs: 200 })
  t.teardown(() => guard.dispose())
  await other.close()
  const hog = await hogIn(t, dir)
  await t.rejects(hog.fill(24 * MiB))
})

t.test('dryRun: the kernel keeps its killer, and all steps are reported', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, {
    delayMs: 500,
    dryRun: true,
    fallback: 'kill-group',
    plan: [
      { afterMs: 10, action: 'headroom', bytes: '8M' },
      { afterMs: 0, action: 'kill-largest' },
    ],
  })
  t.notOk(isHeld(dir))
  const hog = await hogIn(t, dir)
  const other = await hogIn(t, dir)
  await t.rejects(hog.fill(24 * MiB))
  const episode = await g.next()
  const end = await episode.ended
  t.match(end, {
    outcome: 'killed',
    kernelKills: 1,
    killed: [],
    steps: [
      { action: 'kill-largest', dryRun: true, at: episode.startedAt },
      { action: 'headroom', dryRun: true, at: episode.startedAt + 10_000_000n },
      { action: 'kill-group', dryRun: true, at: episode.deadline },
    ],
  })
  t.equal(other.child.signalCode, null)
  t.equal(limitOf(dir), 16 * MiB)
  // A dry run does not touch a group that is held already either.
  const held = scratch(t, 16 * MiB)
  await leaveHeld(t, held)
  const second = await guarded(t, held, { delayMs, dryRun: true })
  await second.guard.dispose()
  t.ok(isHeld(held), 'not touched')
})

t.test('with delayMs 0 the group is as if unguarded, until a delay is set', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: 0, maxDelayMs: 60_000 })
  t.notOk(isHeld(dir))
  const hog = await hogIn(t, dir)
  await t.rejects(hog.fill(24 * MiB))
  t.equal(killsIn(dir), 1)
  t.equal(g.guard.stats.episodes, 0)
  g.guard.setDelay(60_000)
  const second = await hogIn(t, dir)
  const filled = second.fill(24 * MiB)
  const episode = await g.next()
  await episode.raiseLimit('64M')
  await filled
})

// What the limits of the process forbid: in a child, since limits cannot be raised again by all.
for (const [limit, options, code] of [
  ['memlock=0:0', {}, 'ERR_MEMLOCK_LIMIT'],
  ['memlock=65536:65536', {}, 'ERR_MEMLOCK_LIMIT'],
  ['nofile', {}, 'EMFILE'],
  ['nofile', { guardian: false }, 'EMFILE'],
] as const) {
  t.test(`refused by ${limit} ${JSON.stringify(options)}: nothing has changed`, async t => {
    const dir = scratch(t, 16 * MiB)
    for (let i = 0; i < 40; i++) child(dir, `c${i}`, 8 * MiB)
    const program = helperProgram('limited-program')
    const process = fork(program, [dir, limit, JSON.stringify(options)], { stdio: 'inherit' })
    t.teardown(() => process.kill('SIGKILL'))
    const [message] = (await once(process, 'message')) as [Record<string, unknown>]
    t.match(message, { code, name: 'OomError', left: 0 })
    if (code === 'ERR_MEMLOCK_LIMIT') t.match(message.message, /RLIMIT_MEMLOCK.*ulimit -l/)
    t.notOk(isHeld(dir))
    for (let i = 0; i < 40; i++) if (isHeld(join(dir, `c${i}`))) t.fail(`c${i}`)
    await once(process, 'exit')
    // With enough of everything it works: what was refused has left nothing in the way.
    await promisify(execFile)('true')
    const guard = await (await openGroup(t, dir)).guard({ delayMs })
    t.equal(guard.stats.groups, 41)
    await guard.dispose()
  })
}

t.test('under few descriptors it is armed, or says that it needs more', async t => {
  for (const most of [48, 64]) {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t, { through: ['prlimit', `--nofile=${most}:${most}`] })
    const armed = await failure(remote.guard(dir, { delayMs })).catch(() => undefined)
    if (armed !== undefined) t.match(armed, { code: 'EMFILE', message: /RLIMIT_NOFILE/ }, `${most}`)
    t.equal(isHeld(dir), armed === undefined)
    remote.child.kill('SIGKILL')
    await until(() => !isHeld(dir))
  }
})

const BORN_HELD = 'v2 hands nothing down'
t.test('without descriptors left, new groups are released', onV1(BORN_HELD), async t => {
  // Longer than this file may take: the keeper must not release the groups.
  const dir = scratch(t, 16 * MiB, 150)
  const program = helperProgram('limited-program')
  const process = fork(program, [dir, 'later', '{"guardian":false}'], { stdio: 'inherit' })
  t.teardown(() => process.kill('SIGKILL'))
  t.same(await once(process, 'message'), [{ full: true }, undefined])
  t.ok(isHeld(dir))
  for (let i = 0; i < 5; i++) {
    const where = child(dir, `c${i}`)
    const deep = child(where, 'deep')
    await until(() => !isHeld(where) && !isHeld(deep))
  }
  process.send('go')
  t.same(await once(process, 'exit'), [0, null])
  t.notOk(isHeld(dir))
})
