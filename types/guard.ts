import type { Bytes, MonotonicNs } from './common.js'
import type { MemoryGroup } from '../lib/group/memory-group.js'

/**
 * What happens at the deadline. `'kill-largest'` kills the member with the largest resident size, together with all members
 * that share its memory. If a member cannot be looked at (another PID namespace, /proc with hidepid), the
 * kernel decides, which sees all.
 */
export type Fallback = 'kernel' | 'kill-largest' | 'kill-group'

interface StepBase {
  /** Milliseconds from the start of the episode; integer, 0 or more and below `delayMs`. */
  afterMs: number
}

/** Raise the group's limit for the rest of the episode; taken back as far as usage allows. */
export interface HeadroomStep extends StepBase {
  action: 'headroom'
  /** Default `reserve.headroom`. */
  bytes?: Bytes
}
/** Give the reserve's resident memory of this process back: madvise(2). Needs `reserve.ballast`. */
export interface BallastStep extends StepBase {
  action: 'ballast'
}
/** Ask the kernel to reclaim all that it can; v1: memory.force_empty, v2: memory.reclaim. */
export interface ReclaimStep extends StepBase {
  action: 'reclaim'
}
/** Send a signal. */
export interface SignalStep extends StepBase {
  action: 'signal'
  signal: NodeJS.Signals
  /** Members, the one with the largest resident size, or one pid of the group. Default `'all'`. */
  to?: 'all' | 'largest' | number
}
/**
 * Kill the member with the largest resident size (as {@link Fallback} says), kill all members, let the
 * kernel decide, freeze.
 */
export interface PlainStep extends StepBase {
  action: 'kill-largest' | 'kill-group' | 'kernel' | 'freeze'
}

/** A step that runs natively during an episode, with no JavaScript involved. */
export type PlanStep = HeadroomStep | BallastStep | ReclaimStep | SignalStep | PlainStep

export type PlanAction = PlanStep['action']

export interface GuardReserve {
  /** Bytes by which the limit may be raised during an episode. */
  headroom?: Bytes
  /** Bytes of resident, locked memory of this process that are given back. */
  ballast?: Bytes
}

export interface GuardianOptions {
  /** Milliseconds past the deadline at which the guardian acts; integer, 10 to 60000. Default 100. */
  graceMs?: number
  /**
   * Where it lives; must not be the guarded group or below it. Default: where this process is, or, if
   * that is inside of what is guarded, the group above the guarded one. One guardian serves all guards
   * of a process: the last guard that says so moves it.
   */
  group?: MemoryGroup
}

/**
 * v2 has no way to disable the kernel's killer: a guarded group is held below `memory.max` instead, by
 * `memory.high`, past which the kernel throttles whoever allocates.
 */
export interface HoldOptions {
  /**
   * How far below `memory.max`; at most half of it is taken. Default a 16th of it, at least 2 and at most
   * 512 MiB.
   */
  band?: Bytes
  /**
   * Whether an episode stops all members (`cgroup.freeze`) until it ends: when throttling would not hold
   * them to the deadline, at once, or never. Default `'if-needed'`. A group that this process is in is
   * never frozen: `'always'` is refused there with ERR_SELF_IN_GROUP.
   */
  freeze?: 'if-needed' | 'always' | 'never'
}

export interface GuardOptions {
  /** Milliseconds; integer, 0 to 2**31 - 1. 0: the kernel decides at once, as if unguarded. */
  delayMs: number
  /** Default `'kernel'`. */
  fallback?: Fallback
  /** At most 16 steps. */
  plan?: readonly PlanStep[]
  reserve?: GuardReserve
  /** The process that keeps the promise when this one cannot. Default true. */
  guardian?: boolean | GuardianOptions
  /** What becomes of groups below the guarded one. Default `'guard'`. */
  descendants?: 'guard' | 'kernel'
  /** Report what would be done and do nothing: the kernel keeps its killer. Default false. */
  dryRun?: boolean
  /**
   * Adopt a group whose killer is already disabled; it is left enabled at the end. v2, where no killer can
   * be: one that carries the mark of a hold, which is put back as that one had found it, as far as whoever
   * could have written the mark had the right to. Default false.
   */
  takeOver?: boolean
  /** How far `extend()` and `setDelay()` may go, milliseconds. Default 10 × delayMs. */
  maxDelayMs?: number
  /** v2: how the group is held below its limit. Ignored on v1. */
  hold?: HoldOptions
  /** Aborting it disposes the guard; iterators throw an `AbortError`. */
  signal?: AbortSignal
}

/** How an episode ended. */
export type Outcome =
  | 'recovered' // memory was freed and the group is no longer out of memory, or no process is left in it
  | 'limit-raised' // somebody raised the limit
  | 'killed' // a kill that neither plan nor fallback did (v2: one from outside as far as the members were frozen)
  | 'plan' // a step of the plan ended it
  | 'fallback' // the deadline, or yield()
  | 'guardian' // the guardian acted
  | 'removed' // the group is gone
  | 'cancelled' // the guard was disposed, or its delay set to 0

/** One step of the plan, or the fallback, as it went. */
export interface StepReport {
  action: PlanAction | Fallback
  /** When it was started. */
  at: MonotonicNs
  /** 0, or a negative errno; below -5000: one of the package's own codes. */
  errno: number
  /** Its name, such as `'EBUSY'`; `'ERR_UNSEEN_MEMBERS'`: nobody could say which member is the largest. */
  code?: string
  /** Processes killed or signalled by it. */
  killed: number[]
  /** What those were sent; absent where the step sends none. */
  signal?: NodeJS.Signals
  /** With `dryRun`: it was due, and not done. */
  dryRun: boolean
}

/** A signal that the library has sent during an episode. */
export interface EpisodeSignal {
  pid: number
  signal: NodeJS.Signals
  /** When the step was started, or `kill()` called. */
  at: MonotonicNs
  /** A step of the plan, the fallback, or the program with `OomEpisode.kill()`. */
  by: 'plan' | 'fallback' | 'program'
}

export interface EpisodeEnd {
  outcome: Outcome
  at: MonotonicNs
  /** Nanoseconds from the deadline to the fallback being carried out; 0 where none was. */
  lateNs: number
  /** Processes known to have been killed during the episode by the library. */
  killed: number[]
  /** Tasks killed by the kernel's killer during the episode. */
  kernelKills: number
  steps: StepReport[]
  /**
   * Who was sent which signal, in order. It says what was asked, not what came of it: after a SIGTERM that
   * a job obeyed the outcome is `'recovered'`, or `'limit-raised'` if the limit was raised for it. What
   * the program sends in another way (`process.kill()`) and the kernel's kills are not known.
   */
  signalled: EpisodeSignal[]
}

export interface GuardStats {
  /** Episodes begun. */
  episodes: number
  byOutcome: Record<Outcome, number>
  /** Worst of `EpisodeEnd.lateNs`. */
  worstLateNs: number
  /** Time spent out of memory in all, nanoseconds. */
  totalOomNs: number
  /** Groups guarded now, descendants included. */
  groups: number
  /** Episodes whose report did not fit into the queue of a consumer that is too slow. */
  missed: number
}

/** A guarded group ran out of memory. Methods reject with ERR_EPISODE_ENDED once it has ended. */
export interface OomEpisode {
  /** Counts up from 1 within a guard. */
  readonly id: number
  /** Absolute path of the group that is out of memory: the guarded one or one below it. */
  readonly group: string
  readonly startedAt: MonotonicNs
  /** When the fallback runs; moved by `extend()` and `setDelay()`. */
  readonly deadline: MonotonicNs
  /** Bytes in use when it began. */
  readonly usage: number
  /** The group's limit when it began, bytes; v2: `memory.max`, above the line at which it is held. */
  readonly limit: number
  /** Aborts when the episode ends: cancel your own work with it. */
  readonly signal: AbortSignal
  /** How it ended. Never rejects. */
  readonly ended: Promise<EpisodeEnd>
  /**
   * Raises the limit to an absolute size, or by an amount; on v1 memsw too, in the right order, on v2
   * the line with it.
   *
   * @throws ERR_LIMIT_NOT_RAISED: it would be no higher than it is
   */
  raiseLimit(to: Bytes | { by: Bytes }): Promise<void>
  /**
   * Kills a member, the one with the largest resident size, or all, those of groups below included.
   * Resolves with the pids. Never this process, its parents, pid 1 or who is at oom_score_adj -1000.
   * `'largest'` takes all members along that share its memory.
   *
   * With a `signal` other than SIGKILL it is asked to end (or whatever that signal means to it): that
   * is no kill, and the episode ends as ever. A member that waits for memory acts on it once it has
   * some, so raise the limit too.
   *
   * @throws ESRCH: no such member, or none that may be killed; EPERM; ERR_UNSEEN_MEMBERS: a member is in
   * another PID namespace or hidden in /proc, so that nobody can say which is the largest, or end all
   */
  kill(victim: number | 'largest' | 'all', options?: { signal?: NodeJS.Signals }): Promise<number[]>
  /**
   * Moves a member to another group. What it has been charged for stays with this group, on v1 and
   * v2 alike: only what it allocates from now on is charged to the other.
   */
  move(pid: number, to: MemoryGroup): Promise<void>
  /**
   * More time: moves the deadline by `ms` (1 or more), to at most `maxDelayMs` after the clock's start.
   *
   * @throws RangeError beyond it
   */
  extend(ms: number): void
  /** Lets the kernel's killer decide now. */
  yield(): Promise<void>
}

/**
 * Takes OOM handling of a group over from the kernel, for at most the delay. Iterating gives the
 * episodes; nobody needs to. Keeps the event loop alive only while it is iterated: waiting for an
 * episode's `ended` elsewhere does not.
 */
export interface OomGuard extends AsyncIterable<OomEpisode>, AsyncDisposable {
  readonly group: MemoryGroup
  readonly delayMs: number
  readonly stats: GuardStats
  /** Restarts a running episode's clock too. 0: the kernel decides from now on. */
  setDelay(ms: number): void
  /** Puts back what was found, in the group and in every descendant. */
  dispose(): Promise<void>
  [Symbol.asyncIterator](): AsyncIterableIterator<OomEpisode>
}
