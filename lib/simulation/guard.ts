// Guarding a simulated group: the same Guard and OomEpisode objects as with a real one, on the same
// episode machine; the backend is the simulation.
import type { GuardOptions, MemoryGroup } from '../../types/group.js'
import { OomError, ownError } from '../base/errors.js'
import { throwIfAborted } from '../base/queue.js'
import type { EpisodeKey, GuardBackend } from '../guard/backend.js'
import { Guard } from '../guard/guard.js'
import { checkGuardOptions, heldBy } from '../guard/options.js'
import type { Target } from '../native/guards.js'
import type { SimulationHandle } from '../native/simulation.js'

/** What the backend needs of its group. */
export interface GuardedSimulation {
  readonly group: MemoryGroup
  readonly native: SimulationHandle
  /** Sends a process a signal that is no SIGKILL. */
  signal(pid: number, signal: NodeJS.Signals): void
  /** Carries out what is due at this instant, and delivers the records. */
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
    victim: Target,
    signal: NodeJS.Signals,
  ): Promise<number[]> {
    if (signal !== 'SIGKILL') return this.#signal(victim, signal)
    const pids = this.#sim.native.kill(victim, true)
    if (typeof victim === 'number' && pids.length === 0) throw this.#sim.failure('ESRCH')
    this.#sim.settle()
    return pids
  }

  #signal(victim: Target, signal: NodeJS.Signals): number[] {
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

  extend({ episode }: EpisodeKey, ms: number): boolean {
    const there = this.#sim.native.extend(episode, ms)
    this.#sim.settle()
    return there
  }

  yield({ episode }: EpisodeKey): boolean {
    const there = this.#sim.native.yield(episode)
    this.#sim.settle()
    return there
  }

  setDelay(ms: number): void {
    this.#sim.native.setDelay(ms)
    this.#sim.settle()
  }

  async dispose(): Promise<void> {
    this.#sim.native.dispose()
    this.#sim.settle()
    this.#onDispose()
  }

  groups(): number {
    return 1
  }

  lives(pid: number): boolean {
    return this.#sim.native.pids.includes(pid)
  }

  now(): bigint {
    return this.#sim.native.now
  }
}

/** {@link MemoryGroup.guard}; the guard gets nothing before `start()`. */
export function makeGuard(sim: GuardedSimulation, options: GuardOptions, onDispose: () => void) {
  const given = checkGuardOptions(options)
  // A simulated group can always be written.
  const checked = heldBy(given, given.hold.by === 'signals' ? 'signals' : 'kernel')
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
    checked.hold.by,
  )
  signal?.addEventListener('abort', abort, { once: true })
  return { guard, start: () => sim.native.guard(checked) }
}
