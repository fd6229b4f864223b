import { channel } from 'node:diagnostics_channel'
import t from 'tap'
import type { EpisodeKey, GuardBackend } from '../../lib/guard/backend.js'
import { Guard } from '../../lib/guard/guard.js'
import { summaryOf } from '../../lib/guard/summary.js'
import type { MemoryGroup } from '../../lib/group/memory-group.js'
import type { OomEpisode } from '../../types/group.js'

type Call = [name: string, ...args: unknown[]]

// A backend that writes down its calls, so that the objects' own rules show.
function setUp(
  options: { delayMs: number; maxDelayMs: number; raises?: number[]; raiseWithinMs?: number } = {
    delayMs: 100,
    maxDelayMs: 300,
  },
) {
  const calls: Call[] = []
  const state = {
    running: true,
    now: 1000n,
    fail: undefined as Error | undefined,
    living: new Set([5, 6]),
  }
  const note = (name: string, ...args: unknown[]) => {
    calls.push([name, ...args])
    if (state.fail) throw state.fail
  }
  const backend: GuardBackend = {
    raiseLimit: async (_, group, to) => note('raiseLimit', group, to),
    kill: async (_, group, victim, signal) => {
      note('kill', group, victim, signal)
      return [5, 6]
    },
    move: async (_, group, pid) => note('move', group, pid),
    extend: (_, ms) => {
      note('extend', ms)
      return state.running
    },
    yield: () => {
      note('yield')
      return state.running
    },
    setDelay: ms => note('setDelay', ms),
    dispose: async () => note('dispose'),
    groups: () => 3,
    now: () => state.now,
    lives: pid => state.living.has(pid),
  }
  const guard = new Guard(
    { path: '/g' } as MemoryGroup,
    { raises: [], raiseWithinMs: 0, ...options },
    backend,
    'kernel',
  )
  const start = (episode: number, sub = 1) =>
    guard.started({
      sub,
      episode,
      reason: 'oom',
      group: '/g',
      startedAt: 1000n,
      deadline: 1000n + 100_000_000n,
      usage: 64,
      limit: 65,
    })
  const key = (episode: number, sub = 1): EpisodeKey => ({ sub, episode })
  const end = (episode: number, sub = 1, kernelKills = 2) =>
    guard.ended({
      ...key(episode, sub),
      outcome: 'recovered',
      at: 6000n,
      lateNs: 17,
      kernelKills,
      members: [{ pid: 5, name: 'job', resident: 60 }],
      moreMembers: 1,
      samples: [{ at: 1000n, usage: 64, limit: 65, line: 65 }],
    })
  return { guard, calls, state, start, end, key }
}

const idOf = ({ value }: IteratorResult<OomEpisode>) => (value as OomEpisode).id

t.test('an iterator that comes late still gets the episodes from before the first', async t => {
  const { guard, start, end } = setUp()
  start(1)
  end(1)
  start(2)
  const first = guard[Symbol.asyncIterator]()
  t.equal(idOf(await first.next()), 1)
  t.equal(idOf(await first.next()), 2)
  const second = guard[Symbol.asyncIterator]()
  start(3)
  t.equal(idOf(await second.next()), 3, 'one made later: from then on')
  t.equal(idOf(await first.next()), 3, 'each sees each')
  await guard.dispose()
  t.same(await first.next(), { value: undefined, done: true })
  t.same(await second.next(), { value: undefined, done: true })
})

t.test('episodes without an iterator, and a slow consumer, take bounded memory', async t => {
  const { guard, start, end } = setUp()
  for (let i = 1; i <= 1000; i++) {
    start(i)
    end(i)
  }
  t.match(guard.stats, { episodes: 1000, missed: 0, byOutcome: { recovered: 1000 } })
  const iterator = guard[Symbol.asyncIterator]()
  t.equal(idOf(await iterator.next()), 1000 - 63, 'the newest 64')
  for (let i = 1001; i <= 3000; i++) start(i)
  t.ok(guard.stats.missed > 0)
  let received = 1
  // There is room again, but nothing overtakes what is missing.
  for (; received < 11; received++) await iterator.next()
  for (let i = 3001; i <= 3020; i++) start(i)
  await guard.dispose()
  while (!(await iterator.next()).done) received++
  t.equal(received + guard.stats.missed, 64 + 2020)
})

t.test('an episode from its start to its end', async t => {
  const { guard, calls, start, end, key } = setUp()
  const published: unknown[][] = []
  const onStart = (message: unknown) => published.push(['start', message])
  const onEnd = (message: unknown) => published.push(['end', message])
  channel('cgroup-oom:episode:start').subscribe(onStart)
  channel('cgroup-oom:episode:end').subscribe(onEnd)
  start(1)
  const iterator = guard[Symbol.asyncIterator]()
  const { value: episode } = (await iterator.next()) as { value: OomEpisode }
  t.match(episode, { id: 1, reason: 'oom', group: '/g', startedAt: 1000n, usage: 64, limit: 65 })
  t.same(await episode.kill('all'), [5, 6])
  t.same(await episode.kill('all', { signal: 'SIGUSR2' }), [5, 6])
  await t.rejects(episode.kill('all', { signal: 'SIGNONE' as never }), {
    code: 'ERR_UNKNOWN_SIGNAL',
  })
  await t.rejects(episode.kill('all', null as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await episode.raiseLimit('1K')
  await episode.raiseLimit({ by: '2K' })
  await episode.yield()
  await episode.move(9, { add: () => {} } as never)
  t.same(calls, [
    ['kill', '/g', 'all', 'SIGKILL'],
    ['kill', '/g', 'all', 'SIGUSR2'],
    ['raiseLimit', '/g', 1024],
    ['raiseLimit', '/g', { by: 2048 }],
    ['yield'],
    ['move', '/g', 9],
  ])
  const report = { at: 1n, errno: 0, dryRun: false }
  const step = (
    action: 'signal' | 'kill-largest',
    signal: NodeJS.Signals,
    by: 'plan' | 'fallback',
  ) => guard.stepped(key(1), { by, report: { ...report, action, signal, killed: [] } })
  step('signal', 'SIGTERM', 'plan')
  guard.killed(key(1), [7])
  step('kill-largest', 'SIGKILL', 'fallback')
  guard.killed(key(1), [8])
  t.notOk(episode.signal.aborted)
  end(1)
  t.ok(episode.signal.aborted)
  const result = await episode.ended
  t.match(result, { outcome: 'recovered', at: 6000n, lateNs: 17, kernelKills: 2 })
  t.same(result.killed, [5, 6, 8], 'a signal is no kill')
  const sent = (pid: number, signal: string, by: string) => ({ pid, signal, by })
  t.same(
    result.signalled.map(({ pid, signal, by }) => sent(pid, signal, by)),
    [
      sent(7, 'SIGTERM', 'plan'),
      sent(8, 'SIGKILL', 'fallback'),
      sent(5, 'SIGKILL', 'program'),
      sent(6, 'SIGKILL', 'program'),
      sent(5, 'SIGUSR2', 'program'),
      sent(6, 'SIGUSR2', 'program'),
    ],
  )
  t.same(
    result.steps.map(s => [s.action, s.killed]),
    [
      ['signal', [7]],
      ['kill-largest', [8]],
    ],
  )
  t.match(guard.stats, { episodes: 1, worstLateNs: 17, totalOomNs: 5000, groups: 3, missed: 0 })
  t.same(published, [
    ['start', episode],
    ['end', { episode, end: result }],
  ])
  channel('cgroup-oom:episode:start').unsubscribe(onStart)
  channel('cgroup-oom:episode:end').unsubscribe(onEnd)
  const over = { code: 'ERR_EPISODE_ENDED' }
  await t.rejects(episode.raiseLimit(1), over)
  await t.rejects(episode.kill('all'), over)
  await t.rejects(episode.move(9, { add: () => {} } as never), over)
  await t.rejects(episode.yield(), over)
  t.throws(() => episode.extend(1), over)
  t.equal(calls.length, 6)
})

t.test('an episode in one sentence', async t => {
  const { guard, start, end } = setUp()
  start(1)
  const { value: episode } = (await guard[Symbol.asyncIterator]().next()) as { value: OomEpisode }
  await episode.kill('all')
  end(1)
  const ended = await episode.ended
  t.equal(
    ended.summary,
    'out of memory at 64 bytes of 65 bytes; after 5 µs memory was freed; killed: 5 (job, 60 bytes), 6; ' +
      'the kernel killed 2 tasks',
  )
  const others = { ...ended, killed: [7, 5, 8, 9, 1, 2], kernelKills: 0 }
  const members = [{ pid: 5, name: 'a\u001b[2J', resident: 2 ** 20 }]
  t.equal(
    summaryOf({ usage: 2 ** 20, limit: Infinity, startedAt: 0n }, { ...others, members }),
    'out of memory at 1.0 MiB of no limit; after 6 µs memory was freed; ' +
      String.raw`killed: 7, 5 (a\x1b[2J, 1.0 MiB), 8, 9 and 2 more`,
  )
})

t.test('a kill that is answered after the end is in the sentence', async t => {
  const { guard, start, end } = setUp()
  start(1)
  const { value: episode } = (await guard[Symbol.asyncIterator]().next()) as { value: OomEpisode }
  const killing = episode.kill('all')
  end(1, 1, 0)
  t.match((await episode.ended).summary, /; killed: 5 \(job, 60 bytes\), 6$/)
  await killing
})

t.test('episodes of several groups of one guard do not mix', async t => {
  const { guard, start, end } = setUp()
  const iterator = guard[Symbol.asyncIterator]()
  start(1, 1)
  start(1, 2)
  const one = (await iterator.next()).value as OomEpisode
  const two = (await iterator.next()).value as OomEpisode
  t.same([one.id, two.id], [1, 2])
  end(1, 2)
  t.same([one.signal.aborted, two.signal.aborted], [false, true])
  end(9, 9)
  t.equal(guard.stats.byOutcome.recovered, 1)
})

t.test('signalled: one that was asked to end has ended', async t => {
  const { start, end, state, guard, calls } = setUp()
  const iterator = guard[Symbol.asyncIterator]()
  const episode = async (n: number, act: (one: OomEpisode) => Promise<unknown>, kills = 0) => {
    start(n)
    const { value } = (await iterator.next()) as { value: OomEpisode }
    await act(value)
    end(n, 1, kills)
    return (await value.ended).outcome
  }
  const ask = (one: OomEpisode) => one.sendSignal('SIGTERM')
  t.equal(await episode(1, ask), 'recovered', 'they live')
  t.same(calls, [['kill', '/g', 'all', 'SIGTERM']])
  state.living.delete(6)
  t.equal(await episode(2, ask), 'signalled')
  t.equal(await episode(3, one => one.kill('all', { signal: 'SIGINT' })), 'signalled')
  t.equal(await episode(4, async () => {}), 'recovered', 'nobody was asked')
  t.equal(await episode(5, ask, 1), 'recovered', 'the kernel has killed')
  const both = (one: OomEpisode) => Promise.all([ask(one), one.kill('largest')])
  t.equal(await episode(6, both), 'recovered', 'killed all the same')
  t.match(guard.stats.byOutcome, { recovered: 4, signalled: 2 })
  start(7)
  const { value } = (await iterator.next()) as { value: OomEpisode }
  await value.sendSignal('SIGUSR2', 'largest')
  await value.sendSignal('SIGUSR2', 7)
  t.same(calls.slice(-2), [
    ['kill', '/g', 'largest', 'SIGUSR2'],
    ['kill', '/g', 7, 'SIGUSR2'],
  ])
})

t.test('a policy raises once an episode, as long as it has raises, in each group', async t => {
  const { start, end, calls, guard } = setUp({
    delayMs: 100,
    maxDelayMs: 300,
    raises: [10, 20],
    raiseWithinMs: 50,
  })
  const raise = (by: number) => ['raiseLimit', '/g', { by }]
  for (const [n, sub] of [
    [1, 1],
    [2, 1],
    [3, 1],
    [1, 2],
  ] as const) {
    start(n, sub)
    end(n, sub)
  }
  t.same(calls, [raise(10), raise(20), raise(10)])
  guard.forget(1)
  start(4, 1)
  t.same(calls.slice(3), [raise(10)], 'another group of that number')
})

t.test('a policy that could not raise in time keeps its raise', async t => {
  const { start, calls, state } = setUp({
    delayMs: 100,
    maxDelayMs: 300,
    raises: [10],
    raiseWithinMs: 50,
  })
  state.now = 1000n + 50_000_000n
  start(1)
  t.same(calls, [], 'the next step has followed')
  state.now--
  start(2)
  t.same(calls, [['raiseLimit', '/g', { by: 10 }]])
})

t.test('arguments are checked before the backend is called', async t => {
  const { guard, calls, start, state } = setUp()
  start(1)
  const { value: episode } = (await guard[Symbol.asyncIterator]().next()) as { value: OomEpisode }
  const type = { code: 'ERR_INVALID_ARG_TYPE' }
  const range = { code: 'ERR_OUT_OF_RANGE' }
  await t.rejects(episode.raiseLimit(-1), range)
  await t.rejects(episode.raiseLimit(null as never), type)
  await t.rejects(episode.raiseLimit({ by: 0 }), range)
  await t.rejects(episode.raiseLimit({} as never), type)
  await t.rejects(episode.raiseLimit('5X'), { code: 'ERR_INVALID_ARG_VALUE' })
  await t.rejects(episode.kill('some' as never), type)
  await t.rejects(episode.kill(0), range)
  await t.rejects(episode.kill(1.5), range)
  await t.rejects(episode.move(1, {} as never), type)
  await t.rejects(episode.move(-1, { add: () => {} } as never), range)
  for (const ms of [0, -1, 1.5, NaN, 301]) t.throws(() => episode.extend(ms), range)
  t.throws(() => episode.extend('5' as never), type)
  t.throws(() => guard.setDelay(-1), range)
  t.throws(() => guard.setDelay(301), range)
  t.throws(() => guard.setDelay(2 ** 31), range)
  t.throws(() => guard.setDelay('5' as never), type)
  t.same(calls, [])
  t.equal(guard.delayMs, 100)
  episode.extend(150)
  t.equal(episode.deadline, 1000n + 250_000_000n)
  t.throws(() => episode.extend(51), range)
  state.running = false
  t.throws(() => episode.extend(50), { code: 'ERR_EPISODE_ENDED' })
  await t.rejects(episode.yield(), { code: 'ERR_EPISODE_ENDED' })
  t.equal(episode.deadline, 1000n + 250_000_000n, 'not moved by what was refused')
  state.now = 5_000_000n
  guard.setDelay(200)
  t.equal(guard.delayMs, 200)
  t.equal(episode.deadline, 205_000_000n)
})

t.test('dispose ends everything once, also if the backend fails', async t => {
  const { guard, calls, start, state } = setUp()
  const iterator = guard[Symbol.asyncIterator]()
  start(1)
  const { value: episode } = (await iterator.next()) as { value: OomEpisode }
  state.fail = new Error('no')
  await t.rejects(guard.dispose(), { message: 'no' })
  await t.rejects(guard[Symbol.asyncDispose](), { message: 'no' })
  t.same(calls, [['dispose']])
  t.equal((await episode.ended).outcome, 'cancelled', 'its end never found its way here')
  t.match(guard.stats, { groups: 0, byOutcome: { cancelled: 1 } })
  t.same(await iterator.next(), { value: undefined, done: true })
  t.same(await guard[Symbol.asyncIterator]().next(), { value: undefined, done: true })
  t.throws(() => guard.setDelay(5), { code: 'ERR_CLOSED' })
})

t.test('abort() makes the iterators throw an AbortError', async t => {
  const { guard } = setUp()
  const waiting = guard[Symbol.asyncIterator]().next()
  const later = guard[Symbol.asyncIterator]()
  await guard.abort('because')
  await t.rejects(waiting, { name: 'AbortError', code: 'ABORT_ERR', cause: 'because' })
  await t.rejects(later.next(), { name: 'AbortError' })
  t.same(await later.next(), { value: undefined, done: true })
})

t.test('the event loop is kept alive while there is an iterator', async t => {
  const { guard } = setUp()
  const calls: boolean[] = []
  guard.onIterating = iterating => calls.push(iterating)
  const one = guard[Symbol.asyncIterator]()
  const two = guard[Symbol.asyncIterator]()
  await one.return!()
  t.same(calls, [true])
  await two.return!()
  t.same(calls, [true, false])
  guard[Symbol.asyncIterator]()
  t.same(calls, [true, false, true])
  t.equal(guard.unref().unref(), guard)
  t.same(calls, [true, false, true, false])
  guard[Symbol.asyncIterator]()
  guard.ref()
  t.same(calls, [true, false, true, false, true])
  await guard.dispose()
  t.same(calls, [true, false, true, false, true, false])
})
