import type { MemoryGroup } from './group.js'
import type { Bytes, MonotonicNs } from './common.js'

export interface SimulateOptions {
  /** The group's limit. Default `'max'`. */
  max?: Bytes | undefined
  /** The value of `group.path`. Default `'/simulated'`. */
  path?: string | undefined
  /** The kernel's killer is disabled from the start, as if by another program. Default false. */
  killerDisabled?: boolean | undefined
  /** Called for each signal but SIGKILL that is sent to a process of the group. */
  onSignal?: ((pid: number, signal: NodeJS.Signals) => void) | undefined
}

export interface SimulatedProcessOptions {
  /** What it allocates at once. Default 0. */
  size?: Bytes | undefined
  /** oom_score_adj is -1000: neither the kernel nor a fallback kills it. Default false. */
  spared?: boolean | undefined
}

export interface SimulatedTarget {
  /** Default: the first process; one is made where there is none. */
  pid?: number
}

/** What can be done with a simulated group that cannot be done with a real one. */
export interface Simulation {
  /** The virtual clock, nanoseconds: `at`, `startedAt` and `deadline` are on it. */
  readonly now: MonotonicNs
  /** A process joins the group; its pid is made up. */
  spawn(options?: SimulatedProcessOptions): number
  /**
   * A process touches memory. What does not fit makes the group run out of memory: with a guard the
   * process then waits, without one the kernel kills.
   *
   * @throws ESRCH
   */
  allocate(bytes: Bytes, target?: SimulatedTarget): void
  /** A process frees memory. @throws ESRCH */
  free(bytes: Bytes, target?: SimulatedTarget): void
  /** Files are read: page cache, which is reclaimed before the group runs out of memory. */
  cache(bytes: Bytes): void
  /**
   * From now on all processes stall for that share of the time, 0 to 1, for pages that they read back: with
   * {@link GuardOptions.thrash} an episode begins when the group stands at its limit meanwhile, as after
   * `cache()` of a large size. A real one stops when there is room; here another call ends it.
   */
  stall(share: number): void
  /** A process ends by itself. @throws ESRCH */
  exit(pid: number): void
  /**
   * Lets `ms` of virtual time pass. At each event on the way it stops for a turn of the event loop, so that
   * iterators and handlers act at that very instant.
   */
  advance(ms: number): Promise<void>
}

/** A group that is made of numbers, for tests: everything a MemoryGroup has, and a virtual clock. */
export type SimulatedGroup = MemoryGroup & Simulation
