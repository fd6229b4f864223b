// Each way in which an episode ends, and what a handler can do in one.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { MemoryGroup } from '../../../lib/index.js'
import { failure, guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { Hog, hogIn } from '../../helpers/hog.js'
import {
  isHeld,
  killsIn,
  limit,
  lineOf,
  MiB,
  underOom,
  usageOf,
} from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'

const LONG = 60_000
// v2: a member that is to free memory itself must not be frozen.
const hold = { freeze: 'never' } as const

t.test('recovered: another member frees memory', async t => {
  const dir = scratch(t, 16 * MiB)
  const { guard, next } = bound(await guarded(t, dir, { delayMs: LONG, hold }))
  const keeper = await hogIn(t, dir)
  await keeper.fill(8 * MiB)
  const hog = await hogIn(t, dir)
  const filled = hog.fill(10 * MiB)
  const episode = await next()
  await keeper.free()
  t.equal(await filled, 10 * MiB)
  t.match(await episode.ended, {
    outcome: 'recovered',
    killed: [],
    kernelKills: 0,
    lateNs: 0,
    steps: [],
  })
  t.equal(guard.stats.byOutcome.recovered, 1)
})

t.test('recovered: a member ends by itself', async t => {
  const dir = scratch(t, 16 * MiB)
  const { next } = bound(await guarded(t, dir, { delayMs: LONG, hold }))
  const keeper = await hogIn(t, dir)
  await keeper.fill(8 * MiB)
  const hog = await hogIn(t, dir)
  const filled = hog.fill(10 * MiB)
  const episode = await next()
  keeper.child.stdin!.end()
  t.equal(await filled, 10 * MiB)
  t.equal((await episode.ended).outcome, 'recovered')
})

t.test("killed: by an outsider's kill -9", async t => {
  // Until the waiting tasks have been noted, the kill counts as an end by itself: the next try kills
  // later.
  const dir = scratch(t, 16 * MiB)
  const { next } = bound(await guarded(t, dir, { delayMs: LONG }))
  let outcome: string | undefined
  for (let ms = 10; outcome !== 'killed' && ms < 20_000; ms *= 2) {
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    const episode = await next()
    await sleep(ms)
    process.kill(hog.pid, 'SIGKILL')
    const end = await episode.ended
    outcome = end.outcome
    t.match(end, { outcome: /^(killed|recovered)$/, killed: [], kernelKills: 0 })
  }
  t.equal(outcome, 'killed')
})

for (const victim of ['pid', 'largest', 'all'] as const) {
  t.test(`killed: by episode.kill(${victim})`, async t => {
    const dir = scratch(t, 16 * MiB)
    const { next } = bound(await guarded(t, dir, { delayMs: LONG }))
    const small = await hogIn(t, dir)
    await small.fill(2 * MiB)
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    const episode = await next()
    const pids = await episode.kill(victim === 'pid' ? hog.pid : victim)
    const expected = victim === 'all' ? [small.pid, hog.pid] : [hog.pid]
    t.same(new Set(pids), new Set(expected))
    const end = await episode.ended
    t.match(end, { outcome: 'killed', kernelKills: 0 })
    t.same(new Set(end.killed), new Set(expected))
    t.same(await hog.exited, [null, 'SIGKILL'])
  })
}

t.test('episode.kill refuses a process that is no member, and this process', async t => {
  const dir = scratch(t, 16 * MiB)
  const { next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const outside = await Hog.start()
  t.teardown(() => outside.end())
  const episode = await next()
  t.match(await failure(episode.kill(outside.pid)), { code: 'ESRCH', name: 'OomError' })
  t.match(await failure(episode.kill(process.pid)), { code: 'EPERM' })
  t.match(await failure(episode.kill(1)), { code: 'EPERM' })
  t.notOk(episode.signal.aborted, 'it goes on')
  t.ok(underOom(dir))
  await episode.kill('all')
  t.equal((await episode.ended).outcome, 'killed')
})

t.test('fallback: yield() lets the kernel decide at once', async t => {
  const dir = scratch(t, 16 * MiB)
  const { next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  await episode.yield()
  t.match(await episode.ended, { outcome: 'fallback', kernelKills: 1, lateNs: 0 })
  t.same(await hog.exited, [null, 'SIGKILL'])
  t.ok(isHeld(dir), 'armed again')
})

t.test('removed: the group is removed in an episode', async t => {
  const dir = scratch(t, 16 * MiB)
  const { guard, next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const iterator = guard[Symbol.asyncIterator]()
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  const group = await MemoryGroup.open(dir)
  await group.remove({ kill: true })
  const { outcome } = await episode.ended
  // Whether the death of its members or the removal is seen first.
  t.ok(['removed', 'killed', 'recovered'].includes(outcome), outcome)
  await iterator.next()
  t.match(await iterator.next(), { done: true }, 'no more episodes can come')
  t.equal(guard.stats.groups, 0)
})

t.test('cancelled: dispose() in an episode releases the group', async t => {
  const dir = scratch(t, 16 * MiB)
  const { guard, next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  const disposed = guard.dispose()
  t.equal(guard.dispose(), disposed, 'idempotent')
  await disposed
  t.equal((await episode.ended).outcome, 'cancelled')
  t.ok(episode.signal.aborted)
  t.notOk(isHeld(dir))
  t.same(await hog.exited, [null, 'SIGKILL'])
  t.equal(killsIn(dir), 1)
  t.equal(guard.stats.byOutcome.cancelled, 1)
  t.throws(() => guard.setDelay(1), { code: 'ERR_CLOSED' })
})

t.test(
  'setDelay: restarts the clock; 0 releases the group; another delay holds it again',
  async t => {
    const dir = scratch(t, 16 * MiB)
    const { guard, next } = bound(await guarded(t, dir, { delayMs: LONG }))
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    const episode = await next()
    const before = process.hrtime.bigint()
    guard.setDelay(LONG + 5000)
    t.ok(episode.deadline >= before + BigInt(LONG + 5000) * 1_000_000n)
    t.equal(guard.delayMs, LONG + 5000)
    guard.setDelay(0)
    await until(() => !isHeld(dir))
    t.match(await episode.ended, { outcome: 'cancelled' })
    t.same(await hog.exited, [null, 'SIGKILL'])
    // As if unguarded.
    const other = await hogIn(t, dir)
    await t.rejects(other.fill(24 * MiB))
    t.equal(guard.stats.episodes, 1)
    guard.setDelay(200)
    await until(() => isHeld(dir))
    const third = await hogIn(t, dir)
    third.fill(24 * MiB).catch(() => {})
    const again = await next()
    t.equal(again.id, 2)
    t.match(await again.ended, { outcome: 'fallback' })
  },
)

t.test('setDelay shortens a running episode', async t => {
  const dir = scratch(t, 16 * MiB)
  const { guard, next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  guard.setDelay(50)
  const end = await episode.ended
  t.match(end, { outcome: 'fallback', steps: [{ action: 'kernel' }] })
  t.ok(end.steps[0]!.at >= episode.deadline, 'never before the deadline')
})

t.test('extend: the deadline moves to at most maxDelayMs in total', async t => {
  const dir = scratch(t, 16 * MiB)
  const { next } = bound(await guarded(t, dir, { delayMs: 3000, maxDelayMs: 4000 }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  const first = episode.deadline
  t.throws(() => episode.extend(1001), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => episode.extend(0), { code: 'ERR_OUT_OF_RANGE' })
  t.equal(episode.deadline, first, 'nothing has changed')
  episode.extend(500)
  episode.extend(500)
  t.equal(episode.deadline, first + 1_000_000_000n)
  t.throws(() => episode.extend(1), { code: 'ERR_OUT_OF_RANGE' })
  const end = await episode.ended
  t.match(end, { outcome: 'fallback' })
  t.ok(end.steps[0]!.at >= episode.deadline)
})

t.test('move: what the process was charged for stays with the group', async t => {
  const dir = scratch(t, 16 * MiB)
  const elsewhere = await openGroup(t, scratch(t, 64 * MiB))
  const { next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  t.match(await failure(episode.move(process.pid, elsewhere)), { code: 'ESRCH' })
  await episode.move(hog.pid, elsewhere)
  t.same(await elsewhere.pids(), [hog.pid])
  t.ok(usageOf(dir) > lineOf(16 * MiB) - MiB)
  // So it is out of memory until something gives.
  await episode.raiseLimit({ by: '1M' })
  t.equal((await episode.ended).outcome, 'limit-raised')
})

t.test('raiseLimit: absolute, by an amount, never lower; from outside too', async t => {
  const dir = scratch(t, 16 * MiB)
  const { next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  const filled = hog.fill(60 * MiB)
  let episode = await next()
  for (const size of ['8M', '16M', 0]) {
    t.match(await failure(episode.raiseLimit(size)), { code: 'ERR_LIMIT_NOT_RAISED' })
  }
  t.match(await failure(episode.raiseLimit({ by: 0 })), { code: 'ERR_OUT_OF_RANGE' })
  t.notOk(episode.signal.aborted)
  await episode.raiseLimit('24M')
  t.equal((await episode.ended).outcome, 'limit-raised')
  episode = await next()
  t.match(episode, { id: 2, limit: 24 * MiB })
  await episode.raiseLimit({ by: 8 * MiB })
  t.equal((await episode.ended).outcome, 'limit-raised')
  episode = await next()
  t.equal(episode.limit, 32 * MiB)
  limit(dir, 48 * MiB)
  t.equal((await episode.ended).outcome, 'limit-raised')
  episode = await next()
  await episode.raiseLimit('max')
  t.equal((await episode.ended).outcome, 'limit-raised')
  t.equal(await filled, 60 * MiB)
})

t.test('after the end every method rejects with ERR_EPISODE_ENDED', async t => {
  const dir = scratch(t, 16 * MiB)
  const { next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  await episode.kill('all')
  await episode.ended
  const to = await openGroup(t, dir)
  const code = 'ERR_EPISODE_ENDED'
  t.match(await failure(episode.raiseLimit('64M')), { code })
  t.match(await failure(episode.kill('all')), { code })
  t.match(await failure(episode.move(1, to)), { code })
  t.match(await failure(episode.yield()), { code })
  t.throws(() => episode.extend(1), { code })
})

t.test('wrong arguments are refused before anything is touched', async t => {
  const dir = scratch(t, 16 * MiB)
  const { guard, next } = bound(await guarded(t, dir, { delayMs: LONG }))
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await next()
  const type = 'ERR_INVALID_ARG_TYPE'
  const range = 'ERR_OUT_OF_RANGE'
  const any = episode as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
  for (const [method, code, ...args] of [
    ['kill', type, 'smallest'],
    ['kill', type, null],
    ['kill', range, 0],
    ['kill', range, -1],
    ['kill', range, 1.5],
    ['kill', range, NaN],
    ['move', range, 0, {}],
    ['move', type, 1, {}],
    ['move', type, 'x', guard.group],
    ['raiseLimit', type, undefined],
    ['raiseLimit', type, null],
    ['raiseLimit', type, {}],
    ['raiseLimit', range, -1],
    ['raiseLimit', range, NaN],
  ] as [string, string, ...unknown[]][]) {
    t.match(await failure(any[method]!(...args)), { code }, `${method}(${String(args)})`)
  }
  for (const ms of [-1, 1.5, NaN, Infinity, 2 ** 31]) {
    t.throws(() => guard.setDelay(ms), { code: range })
    t.throws(() => episode.extend(ms), { code: range })
  }
  t.throws(() => guard.setDelay('1' as never), { code: type })
  t.notOk(episode.signal.aborted)
  await episode.kill('all')
})

function bound(g: Awaited<ReturnType<typeof guarded>>) {
  return { guard: g.guard, next: () => g.next() }
}
