// Guarding a simulated group: the same Guard and OomEpisode objects as with a real one, on the same
// episode machine; the backend is the simulation.
import type { GuardOptions, MemoryGroup } from '../../types/group.js'
import { OomError, ownError } from '../base/errors.js'
import { throwIfAborted } from '../base/queue.js'
import type { EpisodeKey, GuardBackend } from '../guard/backend.js'
import { Guard } from '../guard/guard.js'
import { checkGuardOptions, OUTCOMES, stepOf } from '../guard/options.js'
import {
  SimulationFact,
  type SimulationHandle,
  type SimulationRecord,
} from '../native/simulation.js'

const NS_PER_MS = 1_000_000

/** What the backend needs of its group. */
export interface GuardedSimulation {
  readonly group: MemoryGroup
  readonly native: SimulationHandle
  /** Sends a process a signal that is no SIGKILL. */
  signal(pid: number, signal: NodeJS.Signals): void
  /** Lets happen what is due at this instant, and tells everybody. */
  settle(): void
  failure(code: string): OomError
}

class SimulatedBackend implements GuardBackend {
  readonly #sim: GuardedSimulation
  readonly #onDispose: () => void

  constructor(sim: GuardedSimulation, onDispose: () => void) {
    this.#sim = sim
    this.#onDispose = onDispose
  }

  async raiseLimit(_key: EpisodeKey, path: string, to: number | { by: number }): Promise<void> {
    const { native } = this.#sim
    const size = typeof to === 'number' ? to : native.limit + to.by
    const code = native.raiseLimit(size)
    if (code === 'EINVAL') {
      throw new OomError(
        'ERR_LIMIT_NOT_RAISED',
        `${size} bytes would not raise the limit of '${path}', which is ${native.limit}`,
        { path },
      )
    }
    if (code !== '') throw this.#sim.failure(code)
    this.#sim.settle()
  }

  async kill(
    _key: EpisodeKey,
    _: string,
    victim: number | 'largest' | 'all',
    signal: NodeJS.Signals,
  ): Promise<number[]> {
    if (signal !== 'SIGKILL') return this.#ask(victim, signal)
    const target = typeof victim === 'number' ? victim : victim === 'largest' ? -1 : 0
    const pids = this.#sim.native.kill(target, true)
    if (typeof victim === 'number' && pids.length === 0) throw this.#sim.failure('ESRCH')
    this.#sim.settle()
    return pids
  }

  #ask(victim: number | 'largest' | 'all', signal: NodeJS.Signals): number[] {
    const { native } = this.#sim
    const wanted = victim === 'largest' ? native.largest : victim
    const pids = native.pids.filter(pid => wanted === 'all' || pid === wanted)
    if (pids.length === 0) throw this.#sim.failure('ESRCH')
    for (const pid of pids) this.#sim.signal(pid, signal)
    return pids
  }

  async move(_key: EpisodeKey, _path: string, pid: number, to: MemoryGroup): Promise<void> {
    if (!this.#sim.native.pids.includes(pid)) throw this.#sim.failure('ESRCH')
    await to.add(pid)
    this.#sim.native.moveOut(pid)
    this.#sim.settle()
  }

  #command({ episode }: EpisodeKey, fact: number, ms: number): boolean {
    const there = this.#sim.native.command(episode, fact, ms * NS_PER_MS)
    this.#sim.settle()
    return there
  }

  extend(key: EpisodeKey, ms: number): boolean {
    return this.#command(key, SimulationFact.extend, ms)
  }

  yield(key: EpisodeKey): boolean {
    return this.#command(key, SimulationFact.yield, 0)
  }

  setDelay(ms: number): void {
    this.#command({ sub: 1, episode: 0 }, SimulationFact.setDelay, ms)
  }

  async dispose(): Promise<void> {
    this.#sim.native.dispose()
    this.#sim.settle()
    this.#onDispose()
  }

  groups(): number {
    return 1
  }

  now(): bigint {
    return this.#sim.native.now
  }
}

/** {@link MemoryGroup.guard}, without telling the guard of anything yet. */
export function makeGuard(sim: GuardedSimulation, options: GuardOptions, onDispose: () => void) {
  const checked = checkGuardOptions(options)
  throwIfAborted(checked.signal)
  if (sim.native.killerDisabled && !checked.takeOver) {
    throw ownError('ERR_KILLER_DISABLED', sim.group.path)
  }
  const { signal } = checked
  const abort = () => void guard.abort(signal?.reason)
  const guard: Guard = new Guard(
    sim.group,
    checked,
    new SimulatedBackend(sim, () => {
      signal?.removeEventListener('abort', abort)
      onDispose()
    }),
  )
  signal?.addEventListener('abort', abort, { once: true })
  return { guard, start: () => sim.native.guard(checked) }
}

/** Turns a record into the guard's episodes. */
export function deliver(guard: Guard, group: string, record: SimulationRecord): void {
  const key = { sub: 1, episode: record.episode }
  const { at, code, errno, pids } = record
  if (record.kind === 'begin') {
    const { usage, limit, value: deadline } = record
    guard.started({ ...key, group, startedAt: at, deadline, usage, limit })
  } else if (record.kind === 'step') {
    guard.stepped(key, stepOf(record.detail, at, errno, code, Number(record.value)))
    if (pids.length > 0) guard.killed(key, pids)
  } else if (record.kind === 'end') {
    const { kernelKills, value } = record
    const outcome = OUTCOMES[record.detail]!
    guard.ended({ ...key, outcome, at, lateNs: Number(value), kernelKills })
  }
}
