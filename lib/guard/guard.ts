// A guard as JavaScript sees it. What drives its episode machine (backend.ts) calls started(), stepped(),
// killed() and ended().
//
// Every iterator sees each episode from the time that it was made; those that began before the first
// one was are kept for it (the newest KEPT of them).
import { channel } from 'node:diagnostics_channel'
import type { MemoryGroup, OomEpisode, OomGuard } from '../../types/group.js'
import type { GuardStats, Outcome } from '../../types/guard.js'
import { debug } from '../base/diagnostics.js'
import { AbortError, OomError } from '../base/errors.js'
import { EventQueue } from '../base/queue.js'
import type { EpisodeFinish, EpisodeKey, EpisodeStart, GuardBackend, Step } from './backend.js'
import { Episode } from './episode.js'
import { checkDelay, OUTCOMES } from './options.js'
import { EpisodeRecorder } from './record.js'

const KEPT = 64
const QUEUE_LIMIT = 1024

const onStart = channel('cgroup-oom:episode:start')
const onEnd = channel('cgroup-oom:episode:end')

const keyOf = ({ sub, episode }: EpisodeKey) => `${sub}:${episode}`

export class Guard implements OomGuard {
  readonly group: MemoryGroup
  readonly heldBy: 'kernel' | 'signals'
  readonly #maxDelayMs: number
  readonly #backend: GuardBackend
  readonly #recorder: EpisodeRecorder | undefined
  readonly #raises: readonly number[]
  readonly #raiseWithinNs: bigint
  /** How many of those each group has had. */
  readonly #raised = new Map<number, number>()
  #delayMs: number
  readonly #running = new Map<string, Episode>()
  readonly #queues = new Set<EventQueue<OomEpisode>>()
  readonly #kept: Episode[] = []
  readonly #recording = new Set<Promise<void>>()
  #iterated = false
  #disposed: Promise<void> | undefined
  #episodes = 0
  #missed = 0
  #worstLateNs = 0
  #totalOomNs = 0
  readonly #byOutcome = Object.fromEntries(OUTCOMES.map(o => [o, 0])) as Record<Outcome, number>
  /** Called with whether the event loop is to be kept alive: it is iterated, and has not been unref()ed. */
  onIterating: (alive: boolean) => void = () => {}
  #wantsRef = true
  #keepsAlive = false
  /** Called once, when the guard is being disposed. */
  onDisposed: () => void = () => {}

  constructor(
    group: MemoryGroup,
    options: {
      delayMs: number
      maxDelayMs: number
      raises: number[]
      raiseWithinMs: number
      record?: string | undefined
    },
    backend: GuardBackend,
    heldBy: 'kernel' | 'signals',
  ) {
    this.heldBy = heldBy
    this.group = group
    this.#delayMs = options.delayMs
    this.#maxDelayMs = options.maxDelayMs
    this.#raises = options.raises
    this.#raiseWithinNs = BigInt(options.raiseWithinMs) * 1_000_000n
    this.#backend = backend
    if (options.record !== undefined) {
      this.#recorder = new EpisodeRecorder(options.record, {
        group,
        heldBy,
        now: () => backend.now(),
      })
    }
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
      groups: this.#disposed ? 0 : this.#backend.groups(),
      missed: this.#missed,
      unrecorded: this.#recorder?.failed ?? 0,
    }
  }

  setDelay(ms: number): void {
    checkDelay('ms', ms, this.#maxDelayMs)
    if (this.#disposed) throw new OomError('ERR_CLOSED', 'the guard has been disposed')
    // Before the call: the deadline as shown is never later than the native one.
    const now = this.#backend.now()
    this.#backend.setDelay(ms)
    this.#delayMs = ms
    for (const episode of this.#running.values()) episode.restart(now, ms)
  }

  /** Driver: an episode has begun. */
  started(start: EpisodeStart): void {
    const missed = start.missed ?? 0
    const episode = new Episode(++this.#episodes, start, this.#backend, this.#maxDelayMs)
    this.#missed += missed
    this.#running.set(keyOf(start), episode)
    const { reason, group, usage, limit } = start
    debug('episode %d of %s: %s at %d of %d bytes', episode.id, group, reason, usage, limit)
    if (onStart.hasSubscribers) onStart.publish(episode)
    this.#raise(start, episode)
    for (const queue of this.#queues) if (!queue.push(episode)) this.#missed++
    if (this.#iterated) return
    this.#kept.push(episode)
    if (this.#kept.length > KEPT) this.#kept.shift()
  }

  /** The policy's raise for this episode, if there is one left. It is kept where the next step has followed. */
  #raise({ sub, startedAt }: EpisodeStart, episode: Episode): void {
    const used = this.#raised.get(sub) ?? 0
    const by = this.#raises[used]
    if (by === undefined || this.#backend.now() - startedAt >= this.#raiseWithinNs) return
    this.#raised.set(sub, used + 1)
    // The plan follows.
    episode.raiseLimit({ by }).catch((error: unknown) => debug('raising by %d: %s', by, error))
  }

  /** Driver: a group is gone. */
  forget(sub: number): void {
    this.#raised.delete(sub)
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
    this.#worstLateNs = Math.max(this.#worstLateNs, finish.lateNs)
    this.#totalOomNs += Number(finish.at - episode.startedAt)
    const end = episode.end(finish)
    this.#byOutcome[end.outcome]++
    this.#record(episode)
    debug('episode %d of %s ended: %s', episode.id, episode.group, end.outcome)
    if (onEnd.hasSubscribers) onEnd.publish({ episode, end })
  }

  /** When calls of kill() under way have been answered, too. */
  #record(episode: Episode): void {
    if (!this.#recorder) return
    const done = episode.ended.then(end => {
      this.#recording.delete(done)
      this.#recorder?.add(episode, end)
    })
    this.#recording.add(done)
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<OomEpisode> {
    const queue = new EventQueue<OomEpisode>({
      limit: QUEUE_LIMIT,
      onEnd: () => {
        this.#queues.delete(queue)
        this.#keepAlive()
      },
    })
    for (const episode of this.#kept.splice(0)) queue.push(episode)
    this.#iterated = true
    if (this.#disposed) {
      queue.end()
    } else {
      this.#queues.add(queue)
      this.#keepAlive()
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

  ref(): this {
    this.#wantsRef = true
    this.#keepAlive()
    return this
  }

  unref(): this {
    this.#wantsRef = false
    this.#keepAlive()
    return this
  }

  #keepAlive(): void {
    const alive = this.#wantsRef && this.#queues.size > 0
    if (alive !== this.#keepsAlive) this.onIterating(alive)
    this.#keepsAlive = alive
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
        await this.#backend.dispose()
      } finally {
        // Reports of their end that found no room.
        const at = this.#backend.now()
        for (const [key, episode] of this.#running) {
          this.#running.delete(key)
          this.#byOutcome.cancelled++
          episode.end({
            outcome: 'cancelled',
            at,
            lateNs: 0,
            kernelKills: 0,
            members: [],
            samples: [],
          })
          this.#record(episode)
        }
        for (const queue of [...this.#queues]) end(queue)
      }
      await Promise.all(this.#recording)
      await this.#recorder?.close()
    })()
    return this.#disposed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
}
