// Episodes and guards as JavaScript sees them, whoever drives the machine behind: the sentinel
// (native-guard.ts) or a simulated group (testing.ts). The driver calls started(), stepped() and ended(); the
// user's calls go to the driver's backend.
//
// Every iterator sees each episode from the time that it was made; those that began before the first
// one was are kept for it (the newest KEPT of them).
import { channel } from 'node:diagnostics_channel'
import type { Bytes } from '../../types/common.js'
import type { MemoryGroup, OomEpisode, OomGuard } from '../../types/group.js'
import type {
  EpisodeEnd,
  EpisodeSignal,
  GuardStats,
  Outcome,
  StepReport,
} from '../../types/guard.js'
import { integer, invalidType, options, outOfRange, processId, signalNumber } from '../base/args.js'
import { bytes } from '../base/bytes.js'
import { debug } from '../base/diagnostics.js'
import { AbortError, OomError } from '../base/errors.js'
import { EventQueue } from '../base/queue.js'
import { checkDelay, OUTCOMES, type Step } from './options.js'

const KEPT = 64
const QUEUE_LIMIT = 1024

const onStart = channel('cgroup-oom:episode:start')
const onEnd = channel('cgroup-oom:episode:end')

/** Which episode: the group's number and the machine's own count. */
export interface EpisodeKey {
  sub: number
  episode: number
}

export interface EpisodeStart extends EpisodeKey {
  group: string
  startedAt: bigint
  deadline: bigint
  usage: number
  limit: number
  /** Episodes of this group that were never reported. */
  missed?: number
}

export interface EpisodeFinish extends EpisodeKey {
  outcome: Outcome
  at: bigint
  lateNs: number
  kernelKills: number
}

/** What carries out the user's calls. Commands to an episode that has ended give false. */
export interface GuardBackend {
  raiseLimit(key: EpisodeKey, group: string, to: number | { by: number }): Promise<void>
  kill(
    key: EpisodeKey,
    group: string,
    victim: number | 'largest' | 'all',
    signal: NodeJS.Signals,
  ): Promise<number[]>
  move(key: EpisodeKey, group: string, pid: number, to: MemoryGroup): Promise<void>
  extend(key: EpisodeKey, ms: number): boolean
  yield(key: EpisodeKey): boolean
  setDelay(ms: number): void
  dispose(): Promise<void>
  groups(): number
  now(): bigint
}

class Episode implements OomEpisode {
  readonly id: number
  readonly group: string
  readonly startedAt: bigint
  readonly usage: number
  readonly limit: number
  readonly ended: Promise<EpisodeEnd>
  readonly #key: EpisodeKey
  readonly #guard: Guard
  readonly #abort = new AbortController()
  readonly #steps: StepReport[] = []
  #lastStep: Step | undefined
  readonly #killed = new Set<number>()
  readonly #signalled: EpisodeSignal[] = []
  /** Calls of kill() under way: the end may be told before their pids are. */
  readonly #kills = new Set<Promise<number[]>>()
  #deadline: bigint
  #clockAt: bigint
  #over = false
  #resolve!: (end: EpisodeEnd) => void

  constructor(guard: Guard, id: number, start: EpisodeStart) {
    this.#guard = guard
    this.#key = { sub: start.sub, episode: start.episode }
    this.id = id
    this.group = start.group
    this.startedAt = this.#clockAt = start.startedAt
    this.#deadline = start.deadline
    this.usage = start.usage
    this.limit = start.limit
    this.ended = new Promise(resolve => (this.#resolve = resolve))
  }

  get deadline(): bigint {
    return this.#deadline
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  async raiseLimit(to: Bytes | { by: Bytes }): Promise<void> {
    let size: number | { by: number }
    if (typeof to === 'object' && to !== null) {
      const by = bytes('to.by', to.by)
      if (by === 0) throw outOfRange('to.by', '> 0', by)
      size = { by }
    } else {
      size = bytes('to', to, { max: true })
    }
    this.#check()
    await this.#guard.backend.raiseLimit(this.#key, this.group, size)
  }

  async kill(
    victim: number | 'largest' | 'all',
    how?: { signal?: NodeJS.Signals },
  ): Promise<number[]> {
    if (typeof victim === 'number') {
      processId('victim', victim)
    } else if (victim !== 'largest' && victim !== 'all') {
      throw invalidType('victim', "a process id, 'largest' or 'all'", victim)
    }
    const { signal = 'SIGKILL' } = options('options', how)
    signalNumber('options.signal', signal)
    this.#check()
    const { backend } = this.#guard
    const at = backend.now()
    const kill = backend.kill(this.#key, this.group, victim, signal)
    this.#kills.add(kill)
    try {
      const pids = await kill
      for (const pid of pids) {
        if (signal === 'SIGKILL') this.#killed.add(pid)
        this.#signalled.push({ pid, signal, at, by: 'program' })
      }
      return pids
    } finally {
      this.#kills.delete(kill)
    }
  }

  async move(pid: number, to: MemoryGroup): Promise<void> {
    processId('pid', pid)
    if (typeof to !== 'object' || to === null || typeof to.add !== 'function') {
      throw invalidType('to', 'an instance of MemoryGroup', to)
    }
    this.#check()
    await this.#guard.backend.move(this.#key, this.group, pid, to)
  }

  extend(ms: number): void {
    const { maxDelayMs } = this.#guard
    integer('ms', ms, 1, maxDelayMs)
    this.#check()
    const later = this.#deadline + BigInt(ms) * 1_000_000n
    const latest = this.#clockAt + BigInt(maxDelayMs) * 1_000_000n
    if (later > latest) {
      const left = Number((latest - this.#deadline) / 1_000_000n)
      throw outOfRange('ms', `<= ${left}: maxDelayMs is ${maxDelayMs}`, ms)
    }
    if (!this.#guard.backend.extend(this.#key, ms)) throw endedError()
    this.#deadline = later
  }

  async yield(): Promise<void> {
    this.#check()
    if (!this.#guard.backend.yield(this.#key)) throw endedError()
  }

  /** The delay was set anew: the clock starts again. */
  restart(now: bigint, ms: number): void {
    this.#clockAt = now
    this.#deadline = now + BigInt(ms) * 1_000_000n
  }

  stepped(step: Step): void {
    this.#lastStep = step
    this.#steps.push(step.report)
  }

  /** More processes of the step that was reported last. */
  killed(pids: number[]): void {
    if (this.#lastStep === undefined) return
    const { report, by } = this.#lastStep
    const { signal = 'SIGKILL', at } = report
    report.killed.push(...pids)
    for (const pid of pids) {
      if (signal === 'SIGKILL') this.#killed.add(pid)
      this.#signalled.push({ pid, signal, at, by })
    }
  }

  end(finish: Omit<EpisodeFinish, keyof EpisodeKey>): EpisodeEnd {
    const { outcome, at, lateNs, kernelKills } = finish
    const end: EpisodeEnd = {
      outcome,
      at,
      lateNs,
      killed: [...this.#killed],
      kernelKills,
      steps: this.#steps,
      signalled: this.#inOrder(),
    }
    this.#over = true
    this.#abort.abort(new AbortError(`the episode has ended: ${outcome}`))
    if (this.#kills.size === 0) {
      this.#resolve(end)
    } else {
      void Promise.allSettled(this.#kills).then(() => {
        end.killed = [...this.#killed]
        end.signalled = this.#inOrder()
        this.#resolve(end)
      })
    }
    return end
  }

  /** A call of kill() is known when it has been answered. */
  #inOrder(): EpisodeSignal[] {
    return [...this.#signalled].sort((a, b) => Number(a.at - b.at))
  }

  #check(): void {
    if (this.#over) throw endedError()
  }
}

/** Of every method once the episode is over. */
export const endedError = (): OomError =>
  new OomError('ERR_EPISODE_ENDED', 'the group is no longer out of memory: the episode has ended')

const keyOf = ({ sub, episode }: EpisodeKey) => `${sub}:${episode}`

export class Guard implements OomGuard {
  readonly group: MemoryGroup
  readonly maxDelayMs: number
  readonly backend: GuardBackend
  #delayMs: number
  readonly #running = new Map<string, Episode>()
  readonly #queues = new Set<EventQueue<OomEpisode>>()
  readonly #kept: Episode[] = []
  #iterated = false
  #disposed: Promise<void> | undefined
  #episodes = 0
  #missed = 0
  #worstLateNs = 0
  #totalOomNs = 0
  readonly #byOutcome = Object.fromEntries(OUTCOMES.map(o => [o, 0])) as Record<Outcome, number>
  /** Told when the first iterator is made and when the last has ended. */
  onIterating: (iterating: boolean) => void = () => {}
  /** Told once, when it is being disposed. */
  onDisposed: () => void = () => {}

  constructor(
    group: MemoryGroup,
    options: { delayMs: number; maxDelayMs: number },
    backend: GuardBackend,
  ) {
    this.group = group
    this.#delayMs = options.delayMs
    this.maxDelayMs = options.maxDelayMs
    this.backend = backend
  }

  get delayMs(): number {
    return this.#delayMs
  }

  get stats(): GuardStats {
    return {
      episodes: this.#episodes,
      byOutcome: { ...this.#byOutcome },
      worstLateNs: this.#worstLateNs,
      totalOomNs: this.#totalOomNs,
      groups: this.#disposed ? 0 : this.backend.groups(),
      missed: this.#missed,
    }
  }

  setDelay(ms: number): void {
    checkDelay('ms', ms, this.maxDelayMs)
    if (this.#disposed) throw new OomError('ERR_CLOSED', 'the guard has been disposed')
    // Before the call: the deadline as shown is never later than the native one.
    const now = this.backend.now()
    this.backend.setDelay(ms)
    this.#delayMs = ms
    for (const episode of this.#running.values()) episode.restart(now, ms)
  }

  /** Driver: an episode has begun. */
  started(start: EpisodeStart): void {
    const missed = start.missed ?? 0
    const episode = new Episode(this, ++this.#episodes, start)
    this.#missed += missed
    this.#running.set(keyOf(start), episode)
    debug('episode %d of %s: %d of %d bytes', episode.id, start.group, start.usage, start.limit)
    if (onStart.hasSubscribers) onStart.publish(episode)
    for (const queue of this.#queues) {
      if (queue.length >= QUEUE_LIMIT) this.#missed++
      queue.push(episode)
    }
    if (this.#iterated) return
    this.#kept.push(episode)
    if (this.#kept.length > KEPT) this.#kept.shift()
  }

  /** Driver: a step of the plan, or the fallback, was carried out. */
  stepped(key: EpisodeKey, step: Step): void {
    this.#running.get(keyOf(key))?.stepped(step)
  }

  killed(key: EpisodeKey, pids: number[]): void {
    this.#running.get(keyOf(key))?.killed(pids)
  }

  /** Driver: it is over. */
  ended(finish: EpisodeFinish): void {
    const episode = this.#running.get(keyOf(finish))
    if (!episode) return
    this.#running.delete(keyOf(finish))
    this.#byOutcome[finish.outcome]++
    this.#worstLateNs = Math.max(this.#worstLateNs, finish.lateNs)
    this.#totalOomNs += Number(finish.at - episode.startedAt)
    const end = episode.end(finish)
    debug('episode %d of %s ended: %s', episode.id, episode.group, end.outcome)
    if (onEnd.hasSubscribers) onEnd.publish({ episode, end })
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<OomEpisode> {
    const queue = new EventQueue<OomEpisode>({
      limit: QUEUE_LIMIT,
      onEnd: () => {
        this.#queues.delete(queue)
        if (this.#queues.size === 0) this.onIterating(false)
      },
    })
    for (const episode of this.#kept.splice(0)) queue.push(episode)
    this.#iterated = true
    if (this.#disposed) {
      queue.end()
    } else {
      this.#queues.add(queue)
      if (this.#queues.size === 1) this.onIterating(true)
    }
    const iterator: AsyncIterableIterator<OomEpisode> = {
      next: () => queue.next(),
      return: async () => {
        queue.stop()
        return { value: undefined, done: true }
      },
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  dispose(): Promise<void> {
    return this.#dispose(queue => queue.end())
  }

  /** As dispose(), but iterators throw the AbortError. */
  abort(reason: unknown): Promise<void> {
    return this.#dispose(queue => queue.fail(new AbortError(reason)))
  }

  /** As dispose(), but iterators throw this. */
  fail(error: Error): Promise<void> {
    return this.#dispose(queue => queue.fail(error))
  }

  #dispose(end: (queue: EventQueue<OomEpisode>) => void): Promise<void> {
    this.#disposed ??= (async () => {
      this.onDisposed()
      try {
        await this.backend.dispose()
      } finally {
        // Reports of their end that found no room.
        const at = this.backend.now()
        for (const [key, episode] of this.#running) {
          this.#running.delete(key)
          this.#byOutcome.cancelled++
          episode.end({ outcome: 'cancelled', at, lateNs: 0, kernelKills: 0 })
        }
        for (const queue of [...this.#queues]) end(queue)
      }
    })()
    return this.#disposed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
}
