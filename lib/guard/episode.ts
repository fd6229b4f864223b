// An episode as JavaScript sees it. Its guard reports to it what happens; the user's calls go to the backend.
import type { Bytes } from '../../types/common.js'
import type { MemoryGroup, OomEpisode } from '../../types/group.js'
import type {
  EpisodeEnd,
  EpisodeReason,
  EpisodeSignal,
  Outcome,
  StepReport,
} from '../../types/guard.js'
import { integer, invalidType, options, outOfRange, processId, signalNumber } from '../base/args.js'
import { bytes } from '../base/bytes.js'
import { AbortError, ownError, type OomError } from '../base/errors.js'
import type { EpisodeFinish, EpisodeKey, EpisodeStart, GuardBackend, Step } from './backend.js'
import { summaryOf } from './summary.js'

/** What every method rejects with when the episode has ended. */
export const endedError = (): OomError => ownError('ERR_EPISODE_ENDED')

export class Episode implements OomEpisode {
  readonly id: number
  readonly reason: EpisodeReason
  readonly group: string
  readonly startedAt: bigint
  readonly usage: number
  readonly limit: number
  readonly ended: Promise<EpisodeEnd>
  readonly #key: EpisodeKey
  readonly #backend: GuardBackend
  readonly #maxDelayMs: number
  readonly #abort = new AbortController()
  readonly #steps: StepReport[] = []
  #lastStep: Step | undefined
  readonly #killed = new Set<number>()
  readonly #signalled: EpisodeSignal[] = []
  /** Calls of kill() under way: the end may be reported before their pids are. */
  readonly #kills = new Set<Promise<number[]>>()
  #deadline: bigint
  #clockAt: bigint
  #over = false
  #resolve!: (end: EpisodeEnd) => void

  constructor(id: number, start: EpisodeStart, backend: GuardBackend, maxDelayMs: number) {
    this.#backend = backend
    this.#maxDelayMs = maxDelayMs
    this.#key = { sub: start.sub, episode: start.episode }
    this.id = id
    this.reason = start.reason
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
    await this.#backend.raiseLimit(this.#key, this.group, size)
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
    const at = this.#backend.now()
    const kill = this.#backend.kill(this.#key, this.group, victim, signal)
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

  sendSignal(signal: NodeJS.Signals, to: 'all' | 'largest' | number = 'all'): Promise<number[]> {
    return this.kill(to, { signal })
  }

  async move(pid: number, to: MemoryGroup): Promise<void> {
    processId('pid', pid)
    if (typeof to !== 'object' || to === null || typeof to.add !== 'function') {
      throw invalidType('to', 'an instance of MemoryGroup', to)
    }
    this.#check()
    await this.#backend.move(this.#key, this.group, pid, to)
  }

  extend(ms: number): void {
    const maxDelayMs = this.#maxDelayMs
    integer('ms', ms, 1, maxDelayMs)
    this.#check()
    const later = this.#deadline + BigInt(ms) * 1_000_000n
    const latest = this.#clockAt + BigInt(maxDelayMs) * 1_000_000n
    if (later > latest) {
      const left = Number((latest - this.#deadline) / 1_000_000n)
      throw outOfRange('ms', `<= ${left}: maxDelayMs is ${maxDelayMs}`, ms)
    }
    if (!this.#backend.extend(this.#key, ms)) throw endedError()
    this.#deadline = later
  }

  async yield(): Promise<void> {
    this.#check()
    if (!this.#backend.yield(this.#key)) throw endedError()
  }

  /** The delay was set again: the clock restarts. */
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
    const { at, lateNs, kernelKills, members, moreMembers, samples } = finish
    const outcome = this.#outcome(finish)
    const end: EpisodeEnd = {
      outcome,
      at,
      lateNs,
      killed: [...this.#killed],
      kernelKills,
      steps: this.#steps,
      signalled: this.#inOrder(),
      members,
      ...(moreMembers === undefined ? {} : { moreMembers }),
      samples,
      summary: '',
    }
    end.summary = summaryOf(this, end)
    this.#over = true
    this.#abort.abort(new AbortError(`the episode has ended: ${outcome}`))
    if (this.#kills.size === 0) {
      this.#resolve(end)
    } else {
      void Promise.allSettled(this.#kills).then(() => {
        end.killed = [...this.#killed]
        end.signalled = this.#inOrder()
        end.summary = summaryOf(this, end)
        this.#resolve(end)
      })
    }
    return end
  }

  /** The machine sees that memory was freed, or that a kill came from outside; who had asked for it is known here. */
  #outcome({ outcome, kernelKills }: Omit<EpisodeFinish, keyof EpisodeKey>): Outcome {
    const free = outcome === 'recovered' || outcome === 'killed'
    if (!free || kernelKills > 0 || this.#killed.size > 0) return outcome
    const asked = this.#signalled.filter(
      ({ by, signal }) => by === 'program' && signal !== 'SIGKILL',
    )
    return asked.some(({ pid }) => !this.#backend.lives(pid)) ? 'signalled' : outcome
  }

  /** A call of kill() is known when it has been answered. */
  #inOrder(): EpisodeSignal[] {
    return [...this.#signalled].sort((a, b) => Number(a.at - b.at))
  }

  #check(): void {
    if (this.#over) throw endedError()
  }
}
