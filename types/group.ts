// A group, its guard and the guard's episodes: they name each other, and so are in one file.
import type { Bytes, MonotonicNs, UsageSize } from './common.js'
import type {
  EpisodeEnd,
  EpisodeReason,
  Fallback,
  GuardReserve,
  GuardStats,
  HoldOptions,
  PlanStep,
  PolicyStep,
  ThrashOptions,
} from './guard.js'
import type {
  CgroupVersion,
  MemoryGroupInit,
  MemoryLimits,
  MemoryLimitsInit,
  OomCounters,
} from './limits.js'
import type {
  EventIterator,
  OomWatch,
  PressureEvent,
  PressureOptions,
  SubscriptionOptions,
  UsageEvent,
  WatchOptions,
} from './watch.js'

export interface HomeOptions {
  /**
   * v2: move the processes that live in the group into a group below it, where nothing else makes room. Default
   * false.
   */
  settle?: boolean | undefined
}

export interface PidsOptions {
  /** Also the members of all descendants. Default false. */
  recursive?: boolean | undefined
}

export interface AddOptions {
  /**
   * Also move what is rarely moved on purpose: process 1, an ancestor of this process, a kernel thread, or
   * the process of a thread whose id was given. Default false: ERR_PROCESS_REFUSED.
   */
  force?: boolean | undefined
}

export interface KillOptions {
  /** Default `'SIGKILL'`, which goes on until the group is empty, processes forked meanwhile included. */
  signal?: NodeJS.Signals | undefined
  /** Also the members of all descendants. Default true. */
  recursive?: boolean | undefined
}

export interface RemoveOptions {
  /** Kill the members (and those of all descendants, which are removed too) first. Default false. */
  kill?: boolean | undefined
}

/**
 * A group, real or simulated. Methods reject with ERR_CLOSED after {@link close}, and with ENOENT or ENODEV once the
 * group is removed.
 */
export interface MemoryGroup extends AsyncDisposable {
  /** Absolute path of its directory when it was opened. */
  readonly path: string
  /** That of the hierarchy which has the memory controller. */
  readonly version: CgroupVersion

  /**
   * Makes a group directly below this one and sets its limits. If a limit is refused, nothing is left behind.
   * {@link MemoryGroup.home} gives a group below which this works. This very group counts, also where another
   * one has its path by now.
   *
   * v2: this group is made to give groups below it the memory controller, which needs leave to write its
   * cgroup.subtree_control, and a group without processes of its own (EBUSY).
   *
   * @param name the name of one directory
   * @throws EEXIST; ENOENT or ENODEV if this group is gone; EROFS, EACCES and what {@link setLimits} throws
   */
  create(name: string, limits?: MemoryGroupInit): Promise<MemoryGroup>

  /** Bytes in use, page cache included: v1 memory.usage_in_bytes, v2 memory.current. */
  usage(): Promise<number>

  /**
   * The most bytes that were ever in use, those of groups below and page cache included: v1
   * memory.max_usage_in_bytes, v2 memory.peak. Of a group that is still there: ask before `remove()`.
   *
   * @throws ERR_CGROUP_UNSUPPORTED on v2 before Linux 5.19, and for the root of v2
   */
  peak(): Promise<number>

  /**
   * The group's own limits, as they are now: v1 memory.limit_in_bytes and memory.memsw.limit_in_bytes, v2 memory.max,
   * memory.high, memory.swap.max and memory.oom.group. `max` is `Infinity` for the root. On v2 `high` of a group that a
   * guard holds is the line at which it is held, unless it was lower before.
   */
  limits(): Promise<MemoryLimits>

  /**
   * Sets the given limits and leaves the others, all or none: if one is refused, those written before it
   * are restored. Sizes are rounded down to whole pages. v1 knows memory and memory + swap: what may be
   * swapped stays the same when only `max` changes. Lowering `max` never kills.
   *
   * @throws EBUSY if the group uses more and the kernel could not reclaim enough;
   * ERR_CGROUP_UNSUPPORTED for a limit that the version does not have; ERR_ROOT_GROUP
   */
  setLimits(limits: MemoryLimitsInit): Promise<void>

  /** The kernel's own counters: v1 memory.oom_control and memory.failcnt, v2 memory.events (not in the root). */
  counters(): Promise<OomCounters>

  /** The processes in it, ascending; those not visible in this pid namespace are left out. */
  pids(options?: PidsOptions): Promise<number[]>

  /**
   * Moves a process, with all its threads, into the group. What it has been charged for stays where it
   * is: only what it allocates from now on is charged here.
   *
   * A worker's `threadId` is no process id, but mostly some other process has it. Process 1, ancestors
   * of this process, kernel threads and ids of threads are therefore refused unless `force` is set.
   *
   * @throws ERR_PROCESS_REFUSED; ESRCH; EACCES without write access to cgroup.procs
   */
  add(pid: number, options?: AddOptions): Promise<void>

  /**
   * Sends a signal to the members and, unless `recursive` is false, to those of all groups below. SIGKILL
   * is repeated until no member is left, processes that are forked meanwhile included; frozen ones are
   * thawed to die. Any other signal is sent once. A pid is never signalled after another process got it.
   *
   * @returns the pids signalled
   * @throws ERR_SELF_IN_GROUP for SIGKILL and SIGSTOP if this process is a member; ERR_INIT_IN_GROUP
   * for them if process 1 is one; EPERM if a member belongs to another user; ERR_ROOT_GROUP for
   * SIGKILL; ERR_UNSEEN_MEMBERS, after all others have got it, for members in another PID namespace
   * (v2 with cgroup.kill, Linux 5.14: SIGKILL reaches them with those below)
   */
  kill(options?: KillOptions): Promise<number[]>

  /**
   * Stops the members, those of groups below included, until {@link thaw}; resolves when all have
   * stopped. v1: the freezer group of the same path, which must have all of them; v2: cgroup.freeze.
   *
   * @throws ERR_NO_FREEZER; ERR_SELF_IN_GROUP; ERR_ROOT_GROUP; ETIMEDOUT if some do not stop within 10 s (tasks that
   * wait for memory do not): it is thawed again then
   */
  freeze(): Promise<void>

  /** @throws ERR_NO_FREEZER; EBUSY if a group above keeps it frozen; ETIMEDOUT if it does not thaw within 10 s */
  thaw(): Promise<void>

  /**
   * Asks the kernel to reclaim memory, as far as there is some. v2 (memory.reclaim; before Linux 5.19 by lowering
   * memory.high for a moment): about `size` bytes, `'max'` for all; v1 (memory.force_empty): all that it can, whatever
   * `size` is (0: nothing).
   *
   * @returns bytes by which usage went down
   * @throws ERR_ROOT_GROUP
   */
  reclaim(size: Bytes): Promise<number>

  /**
   * Removes the group, rmdir(2). With `kill`, all members and all groups below go first; on v1 the
   * kernel's killer is enabled before. Watches of this process have reported all kills before it is gone.
   * The object stays open.
   *
   * @throws EBUSY if there are members or groups below; ENOENT if it is gone already; ERR_ROOT_GROUP; with `kill` also
   * what {@link kill} throws
   */
  remove(options?: RemoveOptions): Promise<void>

  /**
   * Reports the group's OOMs, the kernel's kills in it and its removal; changes nothing. Armed
   * when it returns: what happens between now and the first `next()` is not lost.
   *
   * @throws ERR_CLOSED; ERR_ROOT_GROUP; ENOENT or ENODEV for a group that is gone; AbortError for a signal that has
   * aborted already
   */
  watch(options?: WatchOptions): OomWatch

  /**
   * Reports when usage crosses `size` bytes, in either direction. v1: an eventfd threshold
   * (cgroup.event_control); the kernel checks it every 128 pages, so it may be some hundred KiB late. v2 has
   * no such thing: the sentinel samples usage ten times a second (less often with thousands of these), and
   * does not see a crossing there and back in between.
   *
   * `'80%'` is a share of the group's own limit (`limits().max`), as that is at each moment: when the limit
   * changes, whoever changes it, the threshold moves with it, and usage may cross it that way. While the
   * limit is taken away usage is below the threshold, which is `Infinity` then. Since the kernel has no event
   * for a changed limit, such a threshold is sampled on v1 too.
   *
   * The iterator ends when the group is removed.
   *
   * @throws ERR_NO_LIMIT for a share, if the group has no limit; ERR_CLOSED; ENOENT or ENODEV for a group that is gone;
   * AbortError for a signal that has aborted already
   */
  watchUsage(size: UsageSize, options?: SubscriptionOptions): EventIterator<UsageEvent>

  /**
   * Reports memory pressure before it is an OOM: with `level` the group's vmpressure (v1
   * memory.pressure_level; ERR_CGROUP_UNSUPPORTED on v2), with `kind` PSI stalls: on v1 the whole
   * system's (/proc/pressure/memory), on v2 the group's (memory.pressure). Where the kernel lets this process
   * read that file and set no trigger in it, the sentinel samples it ten times a window
   * ({@link PressureEvent.sampled}): a read-only cgroupfs, a group of another user, a `windowMs` that takes
   * CAP_SYS_RESOURCE.
   *
   * The iterator ends when the group is removed; one for the whole system's stalls does not.
   *
   * @throws ERR_CGROUP_UNSUPPORTED for `level` on v2; ENOENT or EOPNOTSUPP for `kind` where the kernel has no PSI, or
   * has it switched off; ERR_CLOSED; ENOENT or ENODEV for a group that is gone; AbortError for a signal that has
   * aborted already
   */
  watchPressure(options: PressureOptions): EventIterator<PressureEvent>

  /**
   * Takes OOM handling of the group, and of those below it, over from the kernel, for at most
   * `delayMs` each time: then the fallback decides. In force when it resolves.
   *
   * @throws ERR_KILLER_DISABLED if the killer is disabled already (see `takeOver`);
   * ERR_PLAN_NEEDED if this process is in the group or below it and the plan does not begin with a step `'headroom'` or
   * `'ballast'` at 0 ms (not by signals);
   * ERR_SELF_IN_GROUP if this process is in the group or below it and a step `'freeze'`, or on v2 `hold.freeze:
   * 'always'`, would freeze it (not by signals);
   * ERR_NO_FREEZER on v1 for a step `'freeze'` without a freezer group that has all members;
   * ERR_CGROUP_UNSUPPORTED for `thrash` on v1, or where the kernel has no stall information (PSI); on v1 before Linux
   * 5.11 for a group that does not count those below it (memory.use_hierarchy 0); by signals for a step `'headroom'` or
   * `'reclaim'`;
   * EROFS or EACCES where the group cannot be written, see {@link HoldOptions.by};
   * ERR_MEMLOCK_LIMIT where RLIMIT_MEMLOCK is too low;
   * ERR_GUARDIAN_MISSING and ERR_GUARDIAN_INSIDE;
   * EMFILE where descriptors are short: six for each group, ten in the guardian; ENOSPC past 43,008 groups;
   * ERR_ROOT_GROUP; ERR_CLOSED; AbortError; TypeError or RangeError for options, before anything is touched
   */
  guard(options: GuardOptions): Promise<OomGuard>

  /** Closes the directory; the group itself stays. Calls under way are finished. Idempotent. */
  close(): Promise<void>

  [Symbol.asyncDispose](): Promise<void>
}

export interface GuardianOptions {
  /** Milliseconds past the deadline at which the guardian acts; integer, 10 to 60000. Default 100. */
  graceMs?: number | undefined
  /**
   * Where it lives; must not be the guarded group or below it. Default: where this process is, or, if
   * that is inside of what is guarded, the group above the guarded one. One guardian serves all guards
   * of a process: the last guard that names a group moves it there.
   */
  group?: MemoryGroup | undefined
}

export interface GuardOptions {
  /** Milliseconds; integer, 0 to 2**31 - 1. 0: the kernel decides at once, as if unguarded. */
  delayMs: number
  /** Default `'kernel'`; where the group is held by signals `'kill-largest'`, see {@link HoldOptions.by}. */
  fallback?: Fallback | undefined
  /** At most 16 steps, each `afterMs` below `delayMs`. Not with `policy`: ERR_INVALID_ARG_VALUE. Default: none. */
  plan?: readonly PlanStep[] | undefined
  /**
   * What is done, the mildest step first; makes the plan, so that the same bounds hold. Where it ends with a kill, that
   * is the default fallback.
   */
  policy?: readonly PolicyStep[] | undefined
  /** What steps `'headroom'` and `'ballast'` of the plan take from. */
  reserve?: GuardReserve | undefined
  /**
   * An episode also begins when the group thrashes, {@link OomEpisode.reason}. v2 alone, held by the kernel or by
   * signals: v1 has no stall information of a group. Default: none.
   *
   * Such an episode has the same plan, delay and fallback. No task of it waits for the guard. If this process dies,
   * the group is as without a guard, so the guardian does not act. With the fallback `'kernel'` the fallback of such
   * an episode is `'kill-largest'`, since the kernel would find memory to reclaim and kill no process; a step
   * `'kernel'` of the plan and {@link OomEpisode.yield} carry out the fallback at once. If the group runs out of memory
   * meanwhile, the episode goes on, with the deadline that it has.
   */
  thrash?: ThrashOptions | undefined
  /** The process that keeps the promise when this one cannot. Default true. */
  guardian?: boolean | GuardianOptions | undefined
  /** What becomes of groups below the guarded one. Default `'guard'`. */
  descendants?: 'guard' | 'kernel' | undefined
  /** Report what would be done and do nothing: the kernel keeps its killer. Default false. */
  dryRun?: boolean | undefined
  /**
   * Adopt a group whose killer is already disabled; it is left enabled at the end. v2, where no killer can
   * be disabled: adopt a group that carries the mark of a hold. A value noted in the mark is restored only if every
   * user who could have written the mark may also write that control file (docs/security.md). Default false.
   */
  takeOver?: boolean | undefined
  /**
   * How far `extend()` and `setDelay()` may go, milliseconds; integer, `delayMs` to 2**31 - 1. Default 10 × delayMs, at
   * most 2**31 - 1.
   */
  maxDelayMs?: number | undefined
  /** What holds the group, and how. On v1 with `by: 'kernel'` its `band` and `freeze` have no effect. */
  hold?: HoldOptions | undefined
  /**
   * A file to which each episode is appended as one line of JSON when it has ended ({@link RecordedEpisode};
   * `cgroup-oom report FILE` shows it). It is opened for each line and made where there is none, so several
   * guards and processes may share it, and other programs may rename it. An episode that cannot be written
   * is handled as any other; the first one is reported as a process warning (`OOM_RECORD_FAILED`), and
   * `stats.unrecorded` counts them. `dispose()` waits up to 1 s for what is still to be written;
   * `process.exit()` does not.
   */
  record?: string | undefined
  /** Aborting it disposes the guard; iterators throw an `AbortError`. */
  signal?: AbortSignal | undefined
}

/**
 * A guarded group ran out of memory, or thrashes. Once the episode has ended, methods reject with ERR_EPISODE_ENDED;
 * {@link extend} throws it.
 */
export interface OomEpisode {
  /** Counts up from 1 within a guard. */
  readonly id: number
  /** `'thrash'`: the group was not out of memory when it began ({@link GuardOptions.thrash}). */
  readonly reason: EpisodeReason
  /** Absolute path of the group that is out of memory, or thrashes: the guarded one or one below it. */
  readonly group: string
  /** If the guardian has ended it while this process was stopped: when the guardian acted. */
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
   * @throws ERR_LIMIT_NOT_RAISED: it would be no higher than it is; RangeError if `by` is 0; what
   * {@link MemoryGroup.setLimits} rejects with, such as EROFS or EACCES where the group is held by signals
   */
  raiseLimit(to: Bytes | { by: Bytes }): Promise<void>
  /**
   * Kills a member, the one with the largest resident size, or all, those of groups below included.
   * Resolves with the pids. Never this process, its parents, pid 1 or a process at oom_score_adj -1000.
   * `'largest'` takes all members along that share its memory.
   *
   * A `signal` other than SIGKILL is a request to end (or whatever it means to the process): it does not
   * count as a kill, and the episode ends as without it. A member that waits for memory handles the signal
   * once it has some, so raise the limit too.
   *
   * @throws ESRCH: no such member, or none that may be killed; EPERM; ERR_UNSEEN_MEMBERS: a member is in
   * another PID namespace or hidden in /proc, so that the largest is unknown and not all can be ended
   */
  kill(victim: number | 'largest' | 'all', options?: { signal?: NodeJS.Signals }): Promise<number[]>
  /**
   * Asks members to end, or whatever the signal means to them: as {@link kill} with a `signal`. If one of them ends
   * in the episode and nothing else ends it, the outcome is `'signalled'`.
   *
   * @param to default `'all'`
   * @returns the pids signalled
   * @throws as {@link kill}
   */
  sendSignal(signal: NodeJS.Signals, to?: 'all' | 'largest' | number): Promise<number[]>
  /**
   * Moves a member to another group. What it has been charged for stays with this group, on v1 and
   * v2 alike: only what it allocates from now on is charged to the other. It needs no `force`.
   *
   * @throws ESRCH: `pid` is no member of the group or of one below it; EACCES without write access to cgroup.procs of
   * `to`; ERR_CLOSED if `to` is
   */
  move(pid: number, to: MemoryGroup): Promise<void>
  /**
   * More time: moves the deadline by `ms` milliseconds (integer, 1 or more), to at most `maxDelayMs` after the clock's
   * start.
   *
   * @throws RangeError beyond it; ERR_EPISODE_ENDED
   */
  extend(ms: number): void
  /** Lets the kernel's killer decide now. In a group that thrashes the fallback acts: {@link GuardOptions.thrash}. */
  yield(): Promise<void>
}

/**
 * Takes OOM handling of a group over from the kernel, for at most the delay. Iterating gives the
 * episodes, and is optional. Each iterator has the episodes from its start on, the first one also the newest 64 from
 * before. While 1,024 of them wait for a slow consumer, new ones are dropped ({@link GuardStats.missed}). Keeps the
 * event loop alive only while it is iterated and not {@link unref}ed: waiting for an episode's `ended` elsewhere does not.
 */
export interface OomGuard extends AsyncIterable<OomEpisode>, AsyncDisposable {
  /** The guarded group, the one that {@link MemoryGroup.guard} was called on. */
  readonly group: MemoryGroup
  /** Milliseconds, as {@link setDelay} has set it last. */
  readonly delayMs: number
  /** What holds the group: its control files, or signals to its members. */
  readonly heldBy: 'kernel' | 'signals'
  /** Counted from when the guard was armed; a new object each time it is read. */
  readonly stats: GuardStats
  /**
   * Restarts a running episode's clock too. 0: the kernel decides from now on.
   *
   * @param ms milliseconds; integer, 0 to `maxDelayMs`
   * @throws RangeError beyond it; ERR_CLOSED once the guard is disposed
   */
  setDelay(ms: number): void
  /** From now on it keeps the event loop alive while it is iterated, as at its start. */
  ref(): this
  /** From now on it does not keep the event loop alive. */
  unref(): this
  /** Restores what was found, in the group and in every descendant. Idempotent. */
  dispose(): Promise<void>
  [Symbol.asyncIterator](): AsyncIterableIterator<OomEpisode>
}
