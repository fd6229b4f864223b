// Whether anything grows in 24 hours of simulated time: simulate() of cgroup-oom/testing, whose clock is virtual,
// runs the native machine of episodes and all of JavaScript's side. Ten jobs a second, 100 ms each: every one in a
// simulated group of its own, beside one group that lives all the time and has a job of each round too. What the
// process has is printed for each hour, and the run fails where it is not the same at the end.
//
//   OOM_LONG_HOURS        how long (24; with --short 1)
import { simulate } from 'cgroup-oom/testing'
import type { GuardOptions, OomEpisode } from 'cgroup-oom'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  changed,
  countProcess,
  grownMemory,
  sumOf,
  type Allowed,
  type Sample,
} from './lib/growth.js'
import { rss } from './lib/proc.js'
import { floorAddon } from './lib/programs.js'
import { measure, SHORT } from './lib/run.js'

const HOURS = Number(process.env.OOM_LONG_HOURS ?? (SHORT ? 1 : 24))
const JOB_MS = 100
const JOBS_AN_HOUR = 3_600_000 / JOB_MS
const JOBS_A_MINUTE = 60_000 / JOB_MS
const MAX = '4M'

/**
 * An object that is lost with each job is 24 bytes of V8's heap or 32 of the C library's: in 24 hours 20 MiB and
 * more.
 */
const ALLOWED: Allowed = {
  "JavaScript's heap": { perJob: 1, bytes: 512 * 1024 },
  'native heap': { perJob: 1, bytes: 128 * 1024 },
  "resident, without V8's heap": { perJob: 4, bytes: 8 * 1024 * 1024 },
}

interface Kind {
  options: GuardOptions
  handle?: (episode: OomEpisode) => unknown
  outcome: string
}

const LATER: GuardOptions = { delayMs: 60 }
const KINDS: Record<string, Kind> = {
  kernel: { options: { delayMs: 40 }, outcome: 'fallback' },
  'kill-group': { options: { delayMs: 40, fallback: 'kill-group' }, outcome: 'fallback' },
  plan: {
    options: { delayMs: 60, plan: [{ action: 'kill-largest', afterMs: 5 }] },
    outcome: 'plan',
  },
  headroom: {
    options: {
      delayMs: 60,
      reserve: { headroom: '1M' },
      plan: [
        { action: 'headroom', afterMs: 0 },
        { action: 'signal', signal: 'SIGTERM', afterMs: 10 },
        { action: 'kill-largest', afterMs: 30 },
      ],
    },
    outcome: 'plan',
  },
  raise: { options: LATER, handle: e => e.raiseLimit({ by: '8M' }), outcome: 'limit-raised' },
  kill: { options: LATER, handle: e => e.kill('all'), outcome: 'killed' },
  extend: { options: { delayMs: 20 }, handle: e => e.extend(20), outcome: 'fallback' },
  yield: { options: LATER, handle: e => e.yield(), outcome: 'fallback' },
}
const ROUND = Object.keys(KINDS)

const outcomes: Record<string, number> = {}

/** One job in a group of its own, 100 ms of that group's clock. */
async function job(name: string): Promise<void> {
  const { options, handle, outcome } = KINDS[name]!
  const group = simulate({ max: MAX })
  const watch = group.watch()
  const guard = await group.guard(options)
  const ended = (async () => {
    for await (const episode of guard) {
      await handle?.(episode)
      return (await episode.ended).outcome
    }
    return 'no episode'
  })()
  group.spawn({ size: '1M' })
  group.allocate('6M')
  await group.advance(JOB_MS)
  await guard.dispose()
  const found = await ended
  if (found !== outcome) throw new Error(`${name}: ${found}, not ${outcome}`)
  outcomes[name] = (outcomes[name] ?? 0) + 1
  await watch.return()
  await group.close()
}

await measure(`long-simulated: ${HOURS} hours of ten jobs a second`, async b => {
  const base = simulate({ max: MAX })
  const guard = await base.guard({ delayMs: 50, fallback: 'kill-largest' })
  let episodes = 0
  void (async () => {
    for await (const episode of guard) {
      await episode.ended
      episodes++
    }
  })()
  const { heap } = floorAddon()
  let jobs = 0
  async function sample(): Promise<Sample> {
    for (let i = 0; i < 5; i++) {
      gc!()
      await sleep(20)
    }
    const counted = { 'processes in the group': (await base.pids()).length }
    countProcess(counted, 'process', 'self')
    const { heapUsed, heapTotal } = process.memoryUsage()
    const bytes = {
      "JavaScript's heap": heapUsed,
      'native heap': heap(),
      // V8 lets its young generation grow to 32 MiB in the first hours.
      "resident, without V8's heap": rss() - heapTotal,
    }
    return { jobs, counted, bytes }
  }
  async function until(count: number): Promise<void> {
    for (; jobs < count; jobs++) {
      const name = ROUND[jobs % ROUND.length]!
      await job(name)
      // The one that lives all the time.
      const pid = base.spawn({ size: '1M' })
      if (jobs % ROUND.length === 0) base.allocate('6M', { pid })
      else base.exit(pid)
      await base.advance(JOB_MS)
    }
  }
  await until(JOBS_A_MINUTE)
  const first = await sample()
  const hours: Sample[] = []
  const show = (what: string, now: Sample) => {
    const kib = Object.values(now.bytes).map(n => (n / 1024).toFixed(0))
    b.note(
      `${what}: ${jobs} jobs; ${sumOf(now.counted, 'process', 'descriptors')} descriptors, ` +
        `${sumOf(now.counted, 'process', 'threads')} threads; KiB: JavaScript ${kib[0]}, native ${kib[1]}, resident without V8's heap ${kib[2]}`,
    )
  }
  show('minute 1', first)
  for (let hour = 1; hour <= HOURS; hour++) {
    await until(hour * JOBS_AN_HOUR)
    const now = await sample()
    hours.push(now)
    show(`hour ${hour}`, now)
  }
  b.table([['how jobs went', 'times'], ...Object.entries(outcomes).map(([k, n]) => [k, `${n}`])])
  b.note(
    `${episodes} episodes of the group that lives all the time; ${base.now / 3_600_000_000_000n} h on its clock`,
  )
  await guard.dispose()
  const wrong = [
    ...changed(first, hours.at(-1) ?? first),
    ...grownMemory(b, [first, ...hours], ALLOWED),
  ]
  const wanted = Math.ceil(jobs / ROUND.length)
  if (episodes !== wanted) wrong.push(`${episodes} episodes, not ${wanted}`)
  b.target('nothing has grown', wrong.length === 0)
  if (wrong.length > 0) throw new Error(wrong.join('; '))
})
