import { AsyncLocalStorage } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { MemoryGroup } from '../../lib/group/memory-group.js'
import { simulate } from '../../lib/testing.js'
import type { OomEpisode, OomGuard } from '../../types/group.js'
import type { RecordedEpisode } from '../../types/record.js'
import type { OomEvent } from '../../types/watch.js'

const MiB = 2 ** 20
async function first(guard: OomGuard): Promise<OomEpisode> {
  const result: IteratorResult<OomEpisode> = await guard[Symbol.asyncIterator]().next()
  if (result.done) throw new Error('no episode')
  return result.value
}
const ms = (n: number) => BigInt(n) * 1_000_000n

t.test('without a guard the kernel kills the largest', async t => {
  const sim = simulate({ max: '64M' })
  const small = sim.spawn({ size: '10M' })
  const large = sim.spawn({ size: '40M' })
  sim.allocate('20M', { pid: small })
  t.same(await sim.pids(), [small, large])
  await sim.advance(100)
  t.same(await sim.pids(), [small])
  t.match(await sim.counters(), { oomKill: 1, underOom: false })
  t.equal(await sim.usage(), 30 * MiB)
})

t.test('what the contract shows: the fallback at the deadline, to the nanosecond', async t => {
  const sim = simulate({ max: '64M' })
  const guard = await sim.guard({ delayMs: 500 })
  const start = sim.now
  sim.allocate('65M')
  t.equal((await sim.counters()).underOom, true)
  await sim.advance(499)
  t.equal(guard.stats.byOutcome.fallback, 0)
  t.equal((await sim.counters()).oomKill, 0, 'held until the deadline')
  await sim.advance(501)
  t.match(guard.stats, { episodes: 1, byOutcome: { fallback: 1 }, worstLateNs: 0 })
  t.equal((await sim.counters()).oomKill, 1)
  t.equal(sim.now - start, ms(1000))
  await guard.dispose()
})

t.test('what holds a simulated group, and its fallback, is what was asked for', async t => {
  for (const [by, heldBy, fallback] of [
    ['kernel', 'kernel', 'kernel'],
    ['auto', 'kernel', 'kernel'],
    ['signals', 'signals', 'kill-largest'],
  ] as const) {
    const sim = simulate({ max: '64M' })
    await using guard = await sim.guard({ delayMs: 100, hold: { by } })
    t.equal(guard.heldBy, heldBy)
    sim.allocate('65M')
    const episodes = guard[Symbol.asyncIterator]()
    const next = await episodes.next()
    await sim.advance(200)
    const { steps } = await (next.value as OomEpisode).ended
    t.equal(steps.at(-1)?.action, fallback)
  }
})

t.test('a handler acts at the instant of the OOM', async t => {
  const sim = simulate({ max: '64M' })
  await using guard = await sim.guard({ delayMs: 500 })
  const seen: OomEpisode[] = []
  const loop = (async () => {
    for await (const episode of guard) {
      seen.push(episode)
      t.equal(sim.now, episode.startedAt)
      await episode.raiseLimit({ by: '8M' })
    }
  })()
  sim.allocate('65M')
  await sim.advance(2000)
  t.equal(seen.length, 1)
  t.match(seen[0], { id: 1, group: '/simulated', usage: 64 * MiB, limit: 64 * MiB })
  t.equal(seen[0]!.deadline, seen[0]!.startedAt + ms(500))
  t.equal((await seen[0]!.ended).outcome, 'limit-raised')
  t.ok(seen[0]!.signal.aborted)
  t.same(await sim.limits(), { max: 72 * MiB })
  t.equal(await sim.usage(), 65 * MiB)
  t.equal((await sim.counters()).oomKill, 0)
  await guard.dispose()
  await loop
})

t.test('an episode can end with every outcome', async t => {
  const run = async (
    act: (sim: ReturnType<typeof simulate>, episode: OomEpisode) => unknown,
    options: object = {},
  ) => {
    const sim = simulate({ max: '64M' })
    sim.spawn({ size: '16M' })
    const guard = await sim.guard({ delayMs: 100, ...options })
    sim.allocate('65M', { pid: sim.spawn() })
    const episode = await first(guard)
    await act(sim, episode)
    await sim.advance(3000)
    const end = await episode.ended
    await guard.dispose()
    t.equal(guard.stats.byOutcome[end.outcome], 1)
    return end
  }
  t.match(await run(sim => sim.exit(1002)), { outcome: 'recovered', lateNs: 0, killed: [] })
  t.match(await run(sim => sim.setLimits({ max: '128M' })), { outcome: 'limit-raised' })
  t.match(await run((_, e) => e.kill('largest')), { outcome: 'killed', killed: [1002] })
  t.match(await run((_, e) => e.kill(1002)), { outcome: 'killed', killed: [1002] })
  t.match(await run((_, e) => e.kill('all')), { outcome: 'killed', killed: [1001, 1002] })
  t.match(await run((_, e) => e.yield()), { outcome: 'fallback', kernelKills: 1, lateNs: 0 })
  t.match(await run(sim => sim.remove({ kill: true })), { outcome: 'removed' })
  t.match(await run(() => {}, { fallback: 'kill-group' }), {
    outcome: 'fallback',
    killed: [1001, 1002],
    steps: [{ action: 'kill-group', errno: 0, killed: [1001, 1002], dryRun: false }],
  })
  t.match(await run(() => {}, { plan: [{ afterMs: 30, action: 'kill-largest' }] }), {
    outcome: 'plan',
    killed: [1002],
    steps: [{ action: 'kill-largest', killed: [1002] }],
  })
})

t.test('cancelled: disposed, or the delay set to 0', async t => {
  for (const cancel of ['dispose', 'delay', 'abort'] as const) {
    const sim = simulate({ max: '64M' })
    const abort = new AbortController()
    const guard = await sim.guard({ delayMs: 100, signal: abort.signal })
    const iterator = guard[Symbol.asyncIterator]()
    sim.allocate('65M')
    const episode = (await iterator.next()).value as OomEpisode
    const next = iterator.next()
    if (cancel === 'dispose') await guard.dispose()
    if (cancel === 'delay') guard.setDelay(0)
    if (cancel === 'abort') {
      abort.abort()
      await t.rejects(next, { name: 'AbortError' })
    }
    t.equal((await episode.ended).outcome, 'cancelled')
    await sim.advance(100)
    t.equal((await sim.counters()).oomKill, 1, 'the kernel has its killer again')
    await guard.dispose()
    if (cancel !== 'abort') t.same(await next, { value: undefined, done: true })
    t.same(await iterator.next(), { value: undefined, done: true })
  }
})

t.test('extend() and setDelay() move the deadline', async t => {
  const sim = simulate({ max: '64M' })
  const guard = await sim.guard({ delayMs: 100, maxDelayMs: 300 })
  sim.allocate('65M')
  const episode = await first(guard)
  episode.extend(50)
  t.equal(episode.deadline, episode.startedAt + ms(150))
  t.throws(() => episode.extend(151), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => episode.extend(0), { code: 'ERR_OUT_OF_RANGE' })
  await sim.advance(140)
  guard.setDelay(200)
  t.equal(guard.delayMs, 200)
  t.equal(episode.deadline, sim.now + ms(200))
  t.throws(() => guard.setDelay(301), { code: 'ERR_OUT_OF_RANGE' })
  t.equal(guard.delayMs, 200)
  await sim.advance(199)
  t.equal((await sim.counters()).underOom, true)
  await sim.advance(100)
  t.equal((await sim.counters()).oomKill, 1)
  await t.rejects(episode.yield(), { code: 'ERR_EPISODE_ENDED' })
  await t.rejects(episode.kill('all'), { code: 'ERR_EPISODE_ENDED' })
  await t.rejects(episode.raiseLimit('1G'), { code: 'ERR_EPISODE_ENDED' })
  t.throws(() => episode.extend(1), { code: 'ERR_EPISODE_ENDED' })
  await guard.dispose()
  t.throws(() => guard.setDelay(1), { code: 'ERR_CLOSED' })
})

t.test('the last words of a job: headroom, a signal, then the end', async t => {
  const signals: [number, string][] = []
  const sim = simulate({ max: '64M', onSignal: (pid, name) => signals.push([pid, name]) })
  const pid = sim.spawn({ size: '60M' })
  const guard = await sim.guard({
    delayMs: 1000,
    fallback: 'kill-largest',
    reserve: { headroom: '16M' },
    plan: [
      { afterMs: 0, action: 'headroom' },
      { afterMs: 0, action: 'signal', signal: 'SIGUSR2' },
    ],
  })
  sim.allocate('8M', { pid })
  await sim.advance(20)
  t.same(signals, [[pid, 'SIGUSR2']])
  t.same(await sim.limits(), { max: 80 * MiB })
  t.equal(await sim.usage(), 68 * MiB, 'it has got its memory')
  await sim.advance(1500)
  t.same(await sim.pids(), [])
  t.same(await sim.limits(), { max: 64 * MiB }, 'and the limit is restored')
  t.match(guard.stats.byOutcome, { fallback: 1 })
  await guard.dispose()
})

t.test('ballast is freed and leaves room in the group', async t => {
  const sim = simulate({ max: '64M' })
  const guard = await sim.guard({
    delayMs: 100,
    reserve: { ballast: '8M' },
    plan: [{ afterMs: 0, action: 'ballast' }],
  })
  t.equal(await sim.usage(), 8 * MiB)
  t.same(await sim.pids(), [], 'it is not a member that users see')
  sim.allocate('60M')
  await sim.advance(50)
  t.match(guard.stats, { episodes: 1, byOutcome: { plan: 1 } })
  await guard.dispose()
})

t.test('a dry run reports what would be done', async t => {
  const sim = simulate({ max: '64M' })
  const guard = await sim.guard({
    delayMs: 100,
    dryRun: true,
    fallback: 'kill-group',
    plan: [{ afterMs: 20, action: 'reclaim' }],
  })
  sim.allocate('65M')
  const episode = await first(guard)
  await sim.advance(50)
  const end = await episode.ended
  t.match(end, {
    outcome: 'killed',
    kernelKills: 1,
    steps: [
      { action: 'reclaim', at: episode.startedAt + ms(20), dryRun: true },
      { action: 'kill-group', at: episode.deadline, dryRun: true },
    ],
  })
  await guard.dispose()
})

t.test('page cache is reclaimed first', async t => {
  const sim = simulate({ max: '64M' })
  sim.spawn({ size: '10M' })
  sim.cache('100M')
  t.equal(await sim.usage(), 64 * MiB)
  const guard = await sim.guard({ delayMs: 100 })
  sim.allocate('20M')
  t.equal(guard.stats.episodes, 0)
  t.equal(await sim.reclaim('max'), 34 * MiB)
  t.equal(await sim.usage(), 30 * MiB)
  await guard.dispose()
})

t.test('a disabled killer: refused, or taken over and left enabled', async t => {
  const sim = simulate({ max: '64M', killerDisabled: true })
  await t.rejects(sim.guard({ delayMs: 10 }), { code: 'ERR_KILLER_DISABLED' })
  const guard = await sim.guard({ delayMs: 10, takeOver: true })
  await t.rejects(sim.guard({ delayMs: 10, takeOver: true }), { code: 'ERR_KILLER_DISABLED' })
  await guard.dispose()
  await (await sim.guard({ delayMs: 10 })).dispose()
})

t.test('move() takes the process, not its charges', async t => {
  const sim = simulate({ max: '64M' })
  const other = simulate({ max: '64M', path: '/other' })
  const guard = await sim.guard({ delayMs: 100 })
  const pid = sim.spawn({ size: '40M' })
  sim.allocate('30M', { pid: sim.spawn() })
  const episode = await first(guard)
  await t.rejects(episode.move(7, other), { code: 'ESRCH' })
  await episode.move(pid, other)
  t.same(await other.pids(), [pid])
  t.equal(await other.usage(), 0)
  t.equal(await sim.usage(), 64 * MiB)
  await guard.dispose()
})

t.test('it can be used wherever a MemoryGroup is required', async t => {
  const largestOf = async (group: MemoryGroup) => (await group.pids({ recursive: true })).length
  const sim = simulate()
  sim.spawn()
  t.equal(await largestOf(sim), 1)
  t.same(await sim.limits(), { max: Infinity })
  t.equal(sim.version, 1)
  sim.allocate('1T')
  t.equal((await sim.counters()).max, 0)
})

t.test('watch: oom, kill, removed, nothing twice, nothing lost', async t => {
  const sim = simulate({ max: '64M' })
  const watch = sim.watch()
  await watch.ready
  const channelled: OomEvent[] = []
  const listen = (event: unknown) => channelled.push(event as OomEvent)
  channel('cgroup-oom:event').subscribe(listen)
  sim.allocate('65M')
  await sim.advance(100)
  await sim.remove({ kill: true })
  const events: OomEvent[] = []
  for await (const event of watch) events.push(event)
  channel('cgroup-oom:event').unsubscribe(listen)
  t.match(events, [
    { type: 'oom', group: '/simulated', count: 1, origin: 'self' },
    { type: 'kill', count: 1, counters: { oomKill: 1 } },
    { type: 'removed' },
  ])
  t.equal(channelled.length, 3)
  const stopped = sim.watch()
  await stopped.return()
  t.same(await stopped.next(), { value: undefined, done: true })
  t.throws(() => sim.watch({ signal: AbortSignal.abort() }), { name: 'AbortError' })
})

t.test('a share of the limit moves with the limit', async t => {
  const sim = simulate({ max: '64M' })
  t.throws(() => simulate().watchUsage('50%'), { code: 'ERR_NO_LIMIT' })
  const usage = sim.watchUsage('50%')
  const all = sim.watchUsage('100%')
  sim.allocate('32M')
  const threshold = 32 * MiB
  t.match((await usage.next()).value, { above: true, usage: 32 * MiB, threshold })
  await sim.setLimits({ max: '128M' })
  t.match((await usage.next()).value, { above: false, threshold: 64 * MiB })
  await sim.setLimits({ max: '32M' })
  t.match((await usage.next()).value, { above: true, threshold: 16 * MiB })
  t.match((await all.next()).value, { above: true, threshold: 32 * MiB })
  await sim.setLimits({ max: 'max' })
  t.match((await usage.next()).value, { above: false, threshold: Infinity })
})

t.test('the peak is the most that was ever in use', async t => {
  const sim = simulate({ max: '64M' })
  t.equal(await sim.peak(), 0)
  sim.cache('8M')
  sim.allocate('24M')
  t.equal(await sim.peak(), 32 * MiB)
  sim.free('24M')
  t.equal(await sim.usage(), 8 * MiB)
  t.equal(await sim.peak(), 32 * MiB)
  await sim.close()
  await t.rejects(sim.peak(), { code: 'ERR_CLOSED' })
})

t.test('kill-newest takes the process that was started last', async t => {
  const victims = async (options: object) => {
    const sim = simulate({ max: '64M' })
    sim.spawn({ size: '40M' })
    sim.spawn({ size: '10M' })
    sim.spawn({ size: '1M' })
    sim.spawn({ size: '1M', spared: true })
    const guard = await sim.guard({ delayMs: 100, ...options })
    sim.allocate('13M', { pid: 1002 })
    const episode = await first(guard)
    await sim.advance(500)
    const end = await episode.ended
    await guard.dispose()
    return { ...end, left: await sim.pids() }
  }
  t.match(await victims({ fallback: 'kill-newest' }), {
    outcome: 'fallback',
    killed: [1003],
    steps: [{ action: 'kill-newest', killed: [1003], signal: 'SIGKILL' }],
    kernelKills: 0,
    left: [1001, 1002, 1004],
  })
  t.match(await victims({ plan: [{ afterMs: 20, action: 'kill-newest' }] }), {
    outcome: 'plan',
    killed: [1003],
    steps: [{ action: 'kill-newest', killed: [1003], signal: 'SIGKILL' }],
  })
})

t.test('watchUsage reports both directions', async t => {
  const sim = simulate({ max: '64M' })
  const usage = sim.watchUsage('32M')
  sim.allocate('40M')
  t.match(await usage.next(), { value: { type: 'usage', above: true, threshold: 32 * MiB } })
  sim.free('20M')
  t.match(await usage.next(), { value: { above: false, usage: 20 * MiB, count: 1 } })
  await usage.return()
  t.throws(() => sim.watchPressure({ level: 'low' }), { code: 'ERR_CGROUP_UNSUPPORTED' })
})

t.test('kill() thaws frozen members, so that they can die', async t => {
  const sim = simulate({ max: '64M' })
  const pid = sim.spawn({ size: '8M' })
  await sim.freeze()
  await sim.advance(100)
  t.same(await sim.pids(), [pid])
  t.same(await sim.kill(), [pid], 'kill() thaws')
  await sim.advance(100)
  t.equal(await sim.usage(), 0)
  await sim.remove()
  await t.rejects(sim.setLimits({ max: '1M' }), { code: 'ENODEV' })
})

t.test('virtual time: one advance() after the other, real turns in between', async t => {
  const sim = simulate({ max: '64M' })
  const start = sim.now
  await Promise.all([sim.advance(10), sim.advance(20), sim.advance(0.5)])
  t.equal(sim.now - start, 30_500_000n)
  const store = new AsyncLocalStorage<number>()
  await store.run(7, async () => {
    await sim.advance(1)
    t.equal(store.getStore(), 7)
  })
})

t.test('wrong arguments and closed groups are refused', async t => {
  const type = { code: 'ERR_INVALID_ARG_TYPE' }
  const range = { code: 'ERR_OUT_OF_RANGE' }
  t.throws(() => simulate(null as never), type)
  t.throws(() => simulate({ max: -1 }), range)
  t.throws(() => simulate({ max: '7Q' }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => simulate({ onSignal: 7 as never }), type)
  t.throws(() => simulate({ killerDisabled: 1 as never }), type)
  t.throws(() => simulate({ path: '' }), { code: 'ERR_INVALID_ARG_VALUE' })
  const sim = simulate({ max: '64M' })
  t.throws(() => sim.allocate(1.5), range)
  t.throws(() => sim.allocate('1M', { pid: -1 }), range)
  t.throws(() => sim.allocate('1M', { pid: 4000 }), { code: 'ESRCH' })
  t.throws(() => sim.free('max'), Error)
  t.throws(() => sim.exit('x' as never), type)
  t.throws(() => sim.spawn({ spared: 'yes' as never }), type)
  t.throws(() => sim.advance('1' as never), type)
  t.throws(() => sim.advance(NaN), range)
  t.throws(() => sim.advance(-1), range)
  t.equal(await sim.usage(), 0, 'nothing was touched')
  await t.rejects(sim.guard({ delayMs: -1 }), range)
  await t.rejects(sim.guard({ delayMs: 5, signal: AbortSignal.abort() }), { name: 'AbortError' })
  await t.rejects(sim.setLimits({ high: '1M' }), { code: 'ERR_CGROUP_UNSUPPORTED' })
  await t.rejects(sim.setLimits(undefined as never), type)
  sim.allocate('32M')
  await t.rejects(sim.setLimits({ max: '16M' }), { code: 'EBUSY' })
  await t.rejects(sim.remove(), { code: 'EBUSY' })
  await sim.close()
  await t.rejects(sim.usage(), { code: 'ERR_CLOSED' })
  await t.rejects(sim.guard({ delayMs: 5 }), { code: 'ERR_CLOSED' })
  t.throws(() => sim.watch(), { code: 'ERR_CLOSED' })
  t.throws(() => sim.allocate(1), { code: 'ERR_CLOSED' })
})

t.test('who held what, how usage went, and the record, as of a real group', async t => {
  const dir = t.testdir()
  const sim = simulate({ max: '64M' })
  const small = sim.spawn({ size: '10M' })
  const large = sim.spawn({ size: '40M' })
  const guard = await sim.guard({ delayMs: 500, record: `${dir}/oom.jsonl` })
  const episodes = guard[Symbol.asyncIterator]()
  sim.allocate('20M', { pid: small })
  await sim.advance(1000)
  const { members, moreMembers, samples } = await ((await episodes.next()).value as OomEpisode)
    .ended
  t.same(members, [
    { pid: large, name: 'simulated', resident: 40 * MiB },
    { pid: small, name: 'simulated', resident: 24 * MiB },
  ])
  t.equal(moreMembers, 0)
  t.equal(samples[0]!.usage, 64 * MiB)
  t.equal(samples[0]!.line, 64 * MiB)
  t.ok(samples.at(-1)!.usage < 64 * MiB)
  await guard.dispose()
  const line = JSON.parse(readFileSync(`${dir}/oom.jsonl`, 'utf8')) as RecordedEpisode
  t.match(line, { format: 1, group: '/simulated', outcome: 'fallback', members })
  t.equal(line.deadline, 500)
})

t.test('a group that thrashes has an episode, and its largest process is killed', async t => {
  const sim = simulate({ max: '64M' })
  const small = sim.spawn({ size: '10M' })
  const large = sim.spawn({ size: '20M' })
  const guard = await sim.guard({ delayMs: 300, thrash: { stallMs: 250, windowMs: 500 } })
  sim.stall(1)
  await sim.advance(5000)
  t.equal(guard.stats.episodes, 0, 'not at the limit')
  sim.stall(0.4)
  sim.cache('64M')
  await sim.advance(5000)
  t.equal(guard.stats.episodes, 0, 'less than that')
  sim.stall(0.6)
  const begun = sim.now
  const next = first(guard)
  await sim.advance(600)
  const episode = await next
  t.match(episode, { reason: 'thrash', limit: 64 * MiB, usage: 64 * MiB })
  t.ok(episode.startedAt - begun <= ms(550), 'within a window, and a sample')
  t.equal(episode.deadline, episode.startedAt + ms(300))
  await sim.advance(1000)
  const { outcome, killed, steps } = await episode.ended
  t.match([outcome, killed], ['fallback', [large]])
  t.match(steps, [{ action: 'kill-largest', killed: [large] }])
  t.same(await sim.pids(), [small])
  await guard.dispose()
})

t.test('one that thrashes recovers, and an OOM is an episode of the other reason', async t => {
  const sim = simulate({ max: '64M' })
  sim.spawn({ size: '10M' })
  const guard = await sim.guard({ delayMs: 60_000, thrash: { stallMs: 250, windowMs: 500 } })
  const episodes = guard[Symbol.asyncIterator]()
  sim.cache('64M')
  sim.stall(1)
  await sim.advance(600)
  const thrash = (await episodes.next()).value as OomEpisode
  sim.stall(0)
  await sim.advance(2000)
  t.match(await thrash.ended, { outcome: 'recovered', killed: [], steps: [] })
  sim.allocate('80M')
  await sim.advance(10)
  const oom = (await episodes.next()).value as OomEpisode
  t.match([thrash.reason, oom.reason], ['thrash', 'oom'])
  await guard.dispose()
})

t.test('yield() in one that thrashes: the fallback', async t => {
  const sim = simulate({ max: '64M' })
  const pid = sim.spawn({ size: '10M' })
  const guard = await sim.guard({ delayMs: 60_000, thrash: { stallMs: 250, windowMs: 500 } })
  const next = first(guard)
  sim.cache('64M')
  sim.stall(1)
  await sim.advance(600)
  const episode = await next
  await episode.yield()
  await sim.advance(200)
  t.match(await episode.ended, { outcome: 'fallback', killed: [pid], lateNs: 0, kernelKills: 0 })
  await guard.dispose()
})

t.test('a share of the time that is none is refused', async t => {
  const sim = simulate({ max: '64M' })
  for (const share of [-0.1, 1.1, NaN]) {
    t.throws(() => sim.stall(share), { code: 'ERR_OUT_OF_RANGE' })
  }
  t.throws(() => sim.stall('1' as never), { code: 'ERR_INVALID_ARG_TYPE' })
})
