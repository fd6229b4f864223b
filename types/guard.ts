// What can be requested of a guard, and what it reports.
import type { Bytes, MonotonicNs } from './common.js'

/**
 * What happens at the deadline. `'kill-largest'` kills the member with the largest resident size, together
 * with all members that share its memory; `'kill-newest'` in the same way the member that was started last
 * (proc_pid_stat(5), `starttime`; of those of one clock tick, 10 ms, the one with the greatest pid). If a
 * member cannot be seen (another PID namespace, /proc with hidepid), the kernel decides, which sees all.
 */
export type Fallback = 'kernel' | 'kill-largest' | 'kill-newest' | 'kill-group'

interface StepBase {
  /** Milliseconds from the start of the episode; integer, 0 or more and below `delayMs`. */
  afterMs: number
}

/** Raise the group's limit for the rest of the episode; it is lowered again as far as usage allows. */
export interface HeadroomStep extends StepBase {
  action: 'headroom'
  /** By how much, more than 0. Default `reserve.headroom`; without that RangeError. */
  bytes?: Bytes
}
/**
 * Free the resident memory that this process keeps in reserve: madvise(2). Without `reserve.ballast`
 * ERR_INVALID_ARG_VALUE.
 */
export interface BallastStep extends StepBase {
  action: 'ballast'
}
/** Ask the kernel to reclaim all that it can; v1: memory.force_empty, v2: memory.reclaim (before Linux 5.19 ENOENT). */
export interface ReclaimStep extends StepBase {
  action: 'reclaim'
}
/** Send a signal. */
export interface SignalStep extends StepBase {
  action: 'signal'
  signal: NodeJS.Signals
  /** All members, the one with the largest resident size, or one pid of the group (1 to 2**22). Default `'all'`. */
  to?: 'all' | 'largest' | number
}
/**
 * Kill the member with the largest resident size, or the one that was started last (as {@link Fallback}
 * says), kill all members, let the kernel decide, freeze.
 */
export interface PlainStep extends StepBase {
  action: 'kill-largest' | 'kill-newest' | 'kill-group' | 'kernel' | 'freeze'
}

/** A step that runs natively during an episode, with no JavaScript involved. */
export type PlanStep = HeadroomStep | BallastStep | ReclaimStep | SignalStep | PlainStep

export type PlanAction = PlanStep['action']

/** Raise the group's limit, for good. */
export interface PolicyRaise {
  /** By how much, more than 0. */
  raise: Bytes
}
/** Ask all members to end. */
export interface PolicySignal {
  signal: NodeJS.Signals
  /** By how much, more than 0, the limit is raised for the rest of the episode, for them to end. Default: none. */
  headroom?: Bytes
  /** Milliseconds until the next step follows; integer, 0 to 2**31 - 1. Default: half of what is left of the delay. */
  waitMs?: number
}

/**
 * What is done about a group that is out of memory, the mildest step first:
 *
 *     [{ raise: '32M' }, { signal: 'SIGTERM', headroom: '8M', waitMs: 2000 }, 'kill-group']
 *
 * Raises come first, and each is for one episode of a group: the next one begins with the next step. All other steps
 * follow each other within each episode, until it ends: after a signal the next step comes after `waitMs`, after a kill
 * 200 ms later. They are a native plan, which needs no JavaScript. A raise needs some: the first step behind the raises
 * comes 500 ms after the episode's start, or after half of `delayMs` if that is less. A raise that this process has not
 * made by then (by the deadline, if only raises are given) is kept for the group's next episode. A step that would come
 * at `delayMs` or later is a RangeError.
 */
export type PolicyStep = PolicyRaise | PolicySignal | 'kill-largest' | 'kill-newest' | 'kill-group'

/** What is set aside for steps of a plan, when the guard is armed. */
export interface GuardReserve {
  /** What a step `'headroom'` without `bytes` raises the limit by, bytes. Nothing is taken from the group for it. */
  headroom?: Bytes | undefined
  /**
   * Bytes of resident, locked memory of this process, which a step `'ballast'` frees; more than 0. It is made resident
   * again after the episode, once the group has room. ERR_MEMLOCK_LIMIT where RLIMIT_MEMLOCK is too low.
   */
  ballast?: Bytes | undefined
}

/**
 * What keeps a guarded group from the kernel's killer until the deadline.
 *
 * `'kernel'`: the group's control files, which this process must be able to write. v1: `memory.oom_control`
 * disables the killer. v2 has no such switch: `memory.high` holds the group below `memory.max`, and past it
 * the kernel throttles the tasks that allocate.
 *
 * `'signals'`: nothing is written. At a line below the limit the processes are stopped (SIGSTOP), and go on
 * (SIGCONT) when the episode ends, however it ends. It needs no right but to signal them, and works where
 * `/sys/fs/cgroup` is read-only, on v1 and v2. It is best effort: the kernel kills at the limit as ever, and
 * whatever is not stopped in time, or cannot be stopped, may reach it. docs/guarantees.md has the figures.
 */
export interface HoldOptions {
  /** Default `'kernel'`. `'auto'`: the kernel's where it can be had, else signals; {@link OomGuard.heldBy}. */
  by?: 'kernel' | 'signals' | 'auto' | undefined
  /**
   * How far below the limit the line lies, bytes, more than 0; at most half of the limit is taken. Default for
   * `'kernel'` (v2) a 16th of it, at least 2 and at most 512 MiB; for `'signals'` a 16th, at least 32 and at most
   * 256 MiB, and at most a quarter of the limit.
   */
  band?: Bytes | undefined
  /**
   * `'signals'`: who is stopped, and who a plan or a fallback may kill. `'children'` (default): the descendants
   * of this process that are in the group or below it; one whose parent has ended is a descendant only if the guard
   * has stopped it already or found it when it last looked near the line. `'members'`: all members but this process,
   * its parents, its guardian and pid 1.
   */
  who?: 'children' | 'members' | undefined
  /**
   * v2, `'kernel'`: whether an episode stops all members (`cgroup.freeze`) until it ends: when throttling would not
   * hold them to the deadline, at once, or never. Default `'if-needed'`. A group that this process is in is
   * never frozen: `'always'` is refused there with ERR_SELF_IN_GROUP.
   */
  freeze?: 'if-needed' | 'always' | 'never' | undefined
}

/**
 * When a group thrashes: all of its tasks stall at its limit, since the kernel takes back what they have in use, and
 * they read it again. A group that is too small for what it works on can do so for hours with no OOM.
 *
 * What counts is the time of `full` in the group's `memory.pressure` (Linux documentation, accounting/psi), while usage
 * is within an eighth of `memory.max` or `memory.high`, up to 20 ms for each page that was in use, was taken back and
 * was read again (in `memory.stat`: `workingset_restore_file`, and `workingset_refault_anon`, since all that is swapped
 * in was in use). So neither files count that are read once, whatever their size, nor the hold itself, which lets tasks
 * sleep at its line. These files are read at most ten times a window, and not at all while nothing stalls.
 */
export interface ThrashOptions {
  /** Milliseconds of stall within the window with which an episode begins; integer, 1 to `windowMs`. */
  stallMs: number
  /** Milliseconds; integer, 500 to 60000. */
  windowMs: number
}

/** Why an episode began: the group is out of memory, or it thrashes ({@link ThrashOptions}). */
export type EpisodeReason = 'oom' | 'thrash'

/** How an episode ended. */
export type Outcome =
  /**
   * Memory was freed and the group is no longer out of memory, or no process is left in it. A step of the plan may have
   * freed it that had not answered within 20 ms: its code in `steps` is `EINPROGRESS` then. A group that thrashed
   * has stalled for less than `stallMs` in each window for the length of one, or usage has dropped.
   */
  | 'recovered'
  /** The program or another process raised the limit, and no process had been killed before. */
  | 'limit-raised'
  /** A kill by neither plan nor fallback (v2: one from outside only if the members were frozen). */
  | 'killed'
  /** A member ended that the program had sent a signal, with `sendSignal()` or `kill(…, { signal })`. */
  | 'signalled'
  /** A step of the plan ended it. */
  | 'plan'
  /** The deadline, or yield(). */
  | 'fallback'
  /** The guardian acted, in place of this process or while it was stopped. */
  | 'guardian'
  /** The group was removed. */
  | 'removed'
  /** The guard was disposed, or its delay set to 0. */
  | 'cancelled'

/** One step of the plan, or the fallback, as it went. */
export interface StepReport {
  action: PlanAction | Fallback
  /** When it was started. */
  at: MonotonicNs
  /** 0, or a negative errno; below -5000: one of the package's own codes. */
  errno: number
  /**
   * Its name, such as `'EBUSY'`; `'EINPROGRESS'`: it had not answered when the episode ended, and what came of it is
   * not known; `'ERR_UNSEEN_MEMBERS'`: which member is the largest is unknown.
   */
  code?: string
  /** Processes killed or signalled by it, as far as it has answered. */
  killed: number[]
  /** The signal that those were sent; absent where the step sends none. */
  signal?: NodeJS.Signals
  /** With `dryRun`: the step was due, and was not carried out. */
  dryRun: boolean
}

/** A signal that the library has sent during an episode. */
export interface EpisodeSignal {
  /** The process that it was sent to. */
  pid: number
  signal: NodeJS.Signals
  /** When the step was started, or `kill()` called. */
  at: MonotonicNs
  /** A step of the plan, the fallback, or the program with `OomEpisode.kill()` or `sendSignal()`. */
  by: 'plan' | 'fallback' | 'program'
}

/** A process that was in the group when an episode began. */
export interface EpisodeMember {
  /** As this process sees it: pid_namespaces(7). */
  pid: number
  /** The kernel's name of it, at most 15 bytes: proc_pid_comm(5). Any character may be in it. */
  name: string
  /** Bytes resident, shared ones included: proc_pid_statm(5). */
  resident: number
}

/** The group at one moment of an episode, bytes; `Infinity`: no limit. */
export interface EpisodeSample {
  /** When it was taken. */
  at: MonotonicNs
  /** Page cache included. */
  usage: number
  /** v1 memory.limit_in_bytes, v2 memory.max; headroom of the plan included. */
  limit: number
  /** Where the group is held: the limit itself on v1, below it on v2 and where it is held by signals. */
  line: number
}

/** How an episode ended and what was done in it: {@link OomEpisode.ended}. */
export interface EpisodeEnd {
  /** What ended it. */
  outcome: Outcome
  /** When the sentinel saw the end; when the guardian acted, if the sentinel saw nothing of the episode. */
  at: MonotonicNs
  /** Nanoseconds from the deadline to the fallback being carried out; 0 where none was. */
  lateNs: number
  /** Processes known to have been killed during the episode by the library. */
  killed: number[]
  /** Tasks killed by the kernel's killer during the episode. */
  kernelKills: number
  /**
   * Each step of the plan that was started, in order, and the fallback. The end waits 20 ms for a step that still runs
   * when memory was freed, and for none when the limit was raised.
   */
  steps: StepReport[]
  /**
   * Which process was sent which signal, in order. It has the requests, not their effect: after a SIGTERM
   * that a job obeyed the outcome is `'signalled'`, or `'limit-raised'` if the limit was raised for it.
   * Signals that the program sends in another way (`process.kill()`) and the kernel's kills are not in it.
   */
  signalled: EpisodeSignal[]
  /**
   * Who was in the group and those below it when the episode began: the 16 with the largest resident size, the
   * largest first, of the first 4,096 that the kernel lists. Processes that share memory have it each.
   */
  members: EpisodeMember[]
  /**
   * How many more members there were, with those of which nothing can be read (another PID namespace, /proc
   * with hidepid). Absent where `members` is not known: of an episode that its guard's disposal ended, or of one
   * of more than 64 at the same time.
   */
  moreMembers?: number
  /**
   * How usage went, from the first moment to the last: the samples that the sentinel has taken, at most 64. Empty
   * where `moreMembers` is absent for one of the reasons there.
   */
  samples: EpisodeSample[]
  /** One sentence for a log or a person, with those who were killed by pid and, where they are `members`, by name. */
  summary: string
}

/** Counts of a guard, since it was armed. */
export interface GuardStats {
  /** Episodes begun. */
  episodes: number
  /** Episodes ended, by outcome; each outcome is there, with 0 to begin with. */
  byOutcome: Record<Outcome, number>
  /** Worst of `EpisodeEnd.lateNs`, nanoseconds. */
  worstLateNs: number
  /** How long ended episodes have lasted in all, nanoseconds. */
  totalOomNs: number
  /** Groups guarded now, descendants included; 0 once the guard is disposed. */
  groups: number
  /** Episodes whose report did not fit into the queue of a consumer that is too slow. */
  missed: number
  /** Episodes that could not be written to the file of the option `record`. */
  unrecorded: number
}
