// The process that `long` measures: a program that runs jobs, some each second, each in a group of its
// own, and uses all that the library has for them. It goes on until it is ordered to rest; it then waits
// for the jobs that run and sends what is in its heaps.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  MemoryGroup,
  spawn,
  watchTree,
  type GuardOptions,
  type OomEpisode,
  type OomGuard,
} from 'cgroup-oom'
import { compiled } from '../../test/helpers/compile.js'
import { MiB } from '../../test/helpers/memory-files.js'
import { floorAddon } from './programs.js'

export interface Orders {
  dir: string
  perSecond: number
}

/** What it sends at rest: bytes in its heaps, and what has become of the jobs so far. */
export interface AtRest {
  js: number
  native: number
  /** What keeps its event loop alive, by kind. */
  active: Record<string, number>
  jobs: number
  outcomes: Record<string, number>
  events: Record<string, number>
  failures: string[]
  /** Groups that the base guard has: one, when each job's has been forgotten. */
  groups: number
  /** Jobs that were due while too many ran. */
  skipped: number
}

const MAX = 4 * MiB
const PATIENCE_MS = 60_000
const MOST_AT_ONCE = 40

const hog = compiled('hog')
const floor = floorAddon()
const outcomes: Record<string, number> = {}
const events: Record<string, number> = {}
const failures: string[] = []
const running = new Set<Promise<void>>()
// Of each job that runs, for the report of one that does not end.
const steps = new Map<string, string>()
const guards = new Map<string, OomGuard>()
const at = (group: MemoryGroup, step: string) => void steps.set(group.path, step)
let jobs = 0
let skipped = 0

const count = (table: Record<string, number>, key: string) => (table[key] = (table[key] ?? 0) + 1)

/** A job inside its group: it wants so much memory at once, and ends with its stdin. */
function fill(group: MemoryGroup, bytes: number) {
  const child = spawn(hog, [], { group, stdio: ['pipe', 'pipe', 'ignore'] })
  child.stdin.on('error', () => {})
  child.stdin.write(`fill ${bytes}\n`)
  child.stdout.resume()
  const ended = once(child, 'exit')
  const filled = once(child.stdout, 'data')
  filled.catch(() => {})
  return { child, ended, filled, done: () => (child.stdin.end(), ended) }
}

/** A job with a guard of its own that runs out of memory once; `handle` is its handler. */
async function guarded(
  name: string,
  group: MemoryGroup,
  options: GuardOptions,
  handle?: (episode: OomEpisode) => Promise<unknown>,
): Promise<void> {
  at(group, 'arming')
  const guard: OomGuard = await group.guard(options)
  guards.set(group.path, guard)
  const job = fill(group, 2 * MAX)
  at(group, 'waiting for the episode')
  const next = guard[Symbol.asyncIterator]().next()
  const episode = await Promise.race([next, job.ended.then(() => undefined)])
  if (episode === undefined || episode.done) {
    // The guardian has acted, and the sentinel has not run from the OOM until then.
    count(outcomes, `${name}: killed without an episode`)
  } else {
    at(group, 'handling it')
    await handle?.(episode.value)
    at(group, 'waiting for its end')
    count(outcomes, `${name}: ${(await episode.value.ended).outcome}`)
  }
  at(group, 'waiting for the job')
  await job.done()
  at(group, 'disposing')
  await guard.dispose()
}

/** Each is given a group of its own. */
const kinds: Record<string, (name: string, group: MemoryGroup) => Promise<void>> = {
  kernel: (name, group) => guarded(name, group, { delayMs: 50 }),
  'kill-group': (name, group) => guarded(name, group, { delayMs: 50, fallback: 'kill-group' }),
  plan: (name, group) =>
    guarded(name, group, { delayMs: 5000, plan: [{ action: 'kill-largest', afterMs: 0 }] }),
  headroom: (name, group) =>
    guarded(name, group, {
      delayMs: 100,
      reserve: { headroom: MAX / 2 },
      plan: [
        { action: 'headroom', afterMs: 0 },
        { action: 'reclaim', afterMs: 10 },
        { action: 'signal', signal: 'SIGTERM', afterMs: 20 },
        { action: 'kill-largest', afterMs: 60 },
      ],
    }),
  raise: (name, group) =>
    guarded(name, group, { delayMs: 5000 }, episode => episode.raiseLimit({ by: 2 * MAX })),
  kill: (name, group) => guarded(name, group, { delayMs: 5000 }, episode => episode.kill('all')),
  cancelled: async (name, group) => {
    const stop = new AbortController()
    await guarded(name, group, { delayMs: 5000, signal: stop.signal }, async () => stop.abort())
  },
  // Without an OOM.
  quiet: async (name, group) => {
    at(group, 'arming')
    const guard = await group.guard({ delayMs: 1000 })
    const job = fill(group, MAX / 4)
    at(group, 'waiting for its first words')
    await job.filled
    at(group, 'waiting for the job')
    await job.done()
    at(group, 'disposing')
    await guard.dispose()
    count(outcomes, `${name}: no episode`)
  },
  // The guard has gone with its group.
  removed: async (name, group) => {
    at(group, 'arming')
    const guard = await group.guard({ delayMs: 5000 })
    guards.set(group.path, guard)
    const job = fill(group, 2 * MAX)
    at(group, 'waiting for the episode')
    for await (const episode of guard) {
      at(group, 'removing')
      await group.remove({ kill: true })
      at(group, 'waiting for its end')
      count(outcomes, `${name}: ${(await episode.ended).outcome}`)
      at(group, 'waiting for the end of the guard')
    }
    at(group, 'waiting for the job')
    await job.ended
  },
  watch: async (name, group) => {
    const watch = group.watch()
    const job = fill(group, 2 * MAX)
    at(group, 'waiting for the job')
    await job.ended
    at(group, 'waiting for the event')
    for await (const event of watch) {
      if (event.type === 'kill') break
    }
    count(outcomes, `${name}: killed`)
  },
  // In a group below one that is guarded: the base guard's handler decides.
  inherited: async (name, group) => {
    const job = fill(group, 2 * MAX)
    at(group, 'waiting for the job')
    await job.ended
    count(outcomes, `${name}: ended`)
  },
}
/** How often each in a round; a job of those that the base guard has is made below it. */
const ROUND = Object.keys(kinds)

/** What there is to see of a job that does not end. */
async function stuck(group: MemoryGroup, signal: AbortSignal): Promise<never> {
  await sleep(PATIENCE_MS, undefined, { signal })
  const seen = async (what: () => unknown) => {
    try {
      return JSON.stringify(await what())
    } catch (error) {
      return String(error)
    }
  }
  const pids = await group.pids().catch(() => [])
  throw new Error(
    [
      `not done after ${PATIENCE_MS} ms, at: ${steps.get(group.path)}`,
      `pids ${await seen(() => pids.map(pid => readFileSync(`/proc/${pid}/stat`, 'utf8').slice(0, 40)))}`,
      `counters ${await seen(() => group.counters())}`,
      `usage ${await seen(() => group.usage())}`,
      `limits ${await seen(() => group.limits())}`,
      `oom_control ${await seen(() => readFileSync(join(group.path, 'memory.oom_control'), 'utf8'))}`,
      `guard ${await seen(() => guards.get(group.path)?.stats)}`,
    ].join('; '),
  )
}

async function run(kind: string, dir: string): Promise<void> {
  const parent = kind === 'inherited' ? join(dir, 'base') : join(dir, 'jobs')
  const group = await MemoryGroup.create(join(parent, `${kind}-${jobs++}`), { max: MAX })
  const done = new AbortController()
  try {
    const job = kinds[kind]!(kind, group)
    job.catch(() => {})
    await Promise.race([job, stuck(group, done.signal)])
  } catch (error) {
    const text = `${kind}: ${String(error)}`
    console.error(text)
    failures.push(text)
  } finally {
    done.abort()
    steps.delete(group.path)
    guards.delete(group.path)
    await group.remove({ kill: true }).catch(error => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') failures.push(String(error))
    })
    await group.close()
  }
}

const [{ dir, perSecond }] = (await once(process, 'message')) as [Orders]
const base = await MemoryGroup.create(join(dir, 'base'))
const jobsDir = await MemoryGroup.create(join(dir, 'jobs'))
await jobsDir.close()
const guard = await base.guard({ delayMs: 1000, fallback: 'kill-group' })
const watch = watchTree(dir, { maxQueue: 10_000 })
await watch.ready

void (async () => {
  for await (const event of watch) count(events, event.type)
})()
void (async () => {
  for await (const episode of guard) {
    await episode.kill('largest').catch(() => {})
    count(outcomes, `base: ${(await episode.ended).outcome}`)
  }
})()

let resting = false
let due = 0
const timer = setInterval(() => {
  if (resting) return
  if (running.size >= MOST_AT_ONCE) return void skipped++
  const job: Promise<void> = run(ROUND[due++ % ROUND.length]!, dir).finally(() =>
    running.delete(job),
  )
  running.add(job)
}, 1000 / perSecond)

process.on('disconnect', () => process.exit())
process.on('message', message => {
  if (message === 'go') resting = false
  else if (message === 'rest') void rest()
})

async function rest(): Promise<void> {
  resting = true
  await Promise.all(running)
  // The removals are notified 0.25 s later, and the launcher's pipes close after that.
  for (let i = 0; i < 5; i++) {
    gc!()
    await sleep(200)
  }
  const active: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) count(active, name)
  const js = process.memoryUsage().heapUsed
  const { groups } = guard.stats
  process.send!({
    ...{ js, native: floor.heap(), active, jobs, outcomes, events },
    ...{ failures, groups, skipped },
  } satisfies AtRest)
}
process.send!('ready')
void timer
