import type { MonotonicNs } from './common.js'
import type { OomCounters } from './limits.js'

/**
 * Whose limit an OOM was about that a group was notified of: its own or that of a group above. v1 does not
 * report it; it is `'unknown'` where both have refused charges of late and neither usage nor `under_oom`
 * distinguishes them.
 */
export type OomOrigin = 'self' | 'ancestor' | 'unknown'

interface GroupEvent {
  /** Absolute path of the group's directory. */
  group: string
  /** When the kernel woke the sentinel (taken natively, first of the coalesced events). */
  at: MonotonicNs
}

export interface OomHappened extends GroupEvent {
  type: 'oom'
  /** How many times since the last event of this type of this group, at least 1. */
  count: number
  /** Whether the group's own limit was hit, or that of a group above it. */
  origin: OomOrigin
  counters: OomCounters
}

export interface KernelKilled extends GroupEvent {
  type: 'kill'
  /** How many tasks the kernel's OOM killer killed since the last event of this type of this group. */
  count: number
  counters: OomCounters
}

/** The group was throttled at `memory.high`, or met `memory.max`: v2 only, where requested with `events`. */
export interface LimitMet extends GroupEvent {
  type: 'high' | 'max'
  /** How many times since the last event of this type of this group. */
  count: number
  counters: OomCounters
}

/** The last event of a group. */
export interface GroupRemoved extends GroupEvent {
  type: 'removed'
  /** As they were last read before the removal. */
  counters?: OomCounters
}

/** The consumer was too slow and the queue was full: `missed` events are not delivered. */
export interface EventsOverflowed {
  type: 'overflow'
  /** The time of the first event that is not delivered. */
  at: MonotonicNs
  /** Events that are not delivered, of all groups together. */
  missed: number
}

export type OomEvent = OomHappened | KernelKilled | LimitMet | GroupRemoved | EventsOverflowed

export interface WatchOptions {
  /** Ends the watch: the iterator throws the signal's reason as an `AbortError`. */
  signal?: AbortSignal | undefined
  /** v2: also report these. Default none; v1 has none of them. */
  events?: readonly ('high' | 'max')[] | undefined
  /** Most events held for a slow consumer; integer from 1 to 2**20. Default 1024. */
  maxQueue?: number | undefined
}

/**
 * A passive subscription. One consumer: two concurrent loops share the events between them.
 * It keeps the event loop alive as a timer does; see `ref` and `unref`. Its end (`break`, `return()`,
 * `await using`, a signal) takes effect at once; what has not been taken by then is dropped.
 */
export interface EventIterator<T> extends AsyncIterableIterator<T>, AsyncDisposable {
  /** From now on it keeps the event loop alive, as at its start, until it ends. */
  ref(): this
  /** From now on it does not keep the event loop alive. */
  unref(): this
  next(): Promise<IteratorResult<T, undefined>>
  return(): Promise<IteratorResult<T, undefined>>
  [Symbol.asyncIterator](): this
}

/**
 * A watch of one group or of a tree.
 *
 * What the kernel does not notify of on v1 cannot be reported here: a kill by the system's own OOM, in no
 * group, is found with the group's next event; of the last kill before a group's removal the count
 * may be missing, its OOM never is. v2 has the group's own OOMs and those of its own members
 * (memory.events.local), and an OOM of a group above if that killed one of them; the counters go
 * with the group, so that what happened in the last fraction of a millisecond before its removal may
 * be missing.
 */
export interface OomWatch extends EventIterator<OomEvent> {
  /** Resolves when armed. A group is armed before `watch()` returns; a tree when all of it is. */
  readonly ready: Promise<void>
}

export interface UsageEvent extends GroupEvent {
  type: 'usage'
  /** Bytes in use when the sentinel sampled the group. */
  usage: number
  /** The threshold, bytes; of a share of the limit what it was then, `Infinity` without a limit. */
  threshold: number
  /** Whether usage is now at or above the threshold: crossings are reported in both directions. */
  above: boolean
  /** Crossings since the last event. */
  count: number
}

export interface SubscriptionOptions {
  /** Ends the subscription: the iterator throws the signal's reason as an `AbortError`. */
  signal?: AbortSignal | undefined
}

/**
 * How hard reclaim has become. `'low'`: the kernel reclaims for new allocations. `'medium'`: it may swap, or reclaim
 * page cache in use. `'critical'`: the group thrashes, and an OOM is near. A watch of a level reports higher ones too.
 */
export type PressureLevel = 'low' | 'medium' | 'critical'
/**
 * Whose pressure a watch reports. `'default'`: that of the group and of those below, unless a watch below has been
 * notified of it. `'hierarchy'`: that of the group and of those below, in any case. `'local'`: that of the group alone.
 */
export type PressureMode = 'default' | 'hierarchy' | 'local'

/** v1 `memory.pressure_level`: kernel Documentation/admin-guide/cgroup-v1/memory.rst, section 11. */
export interface LevelPressureOptions extends SubscriptionOptions {
  level: PressureLevel
  /** Default `'default'`. */
  mode?: PressureMode | undefined
}

/** PSI: kernel Documentation/accounting/psi.rst. On v1 the system's, on v2 the group's. */
export interface StallPressureOptions extends SubscriptionOptions {
  /** `'some'`: at least one task waits for memory. `'full'`: all tasks that are not idle do, at the same time. */
  kind: 'some' | 'full'
  /** Milliseconds of stall within the window that are reported; at least 0.001, at most windowMs. */
  stallMs: number
  /**
   * Milliseconds; integer, 500 to 10000. Without CAP_SYS_RESOURCE the kernel takes only multiples of 2000; others are
   * sampled.
   */
  windowMs: number
}

export type PressureOptions = LevelPressureOptions | StallPressureOptions

export interface PressureEvent extends GroupEvent {
  type: 'pressure'
  /** How many notifications since the last event. */
  count: number
  /** With levels: the requested level. */
  level?: PressureLevel
  /** With PSI: which line. */
  kind?: 'some' | 'full'
  /** With PSI: microseconds stalled in all, the `total=` field. */
  totalUs?: number
  /**
   * With PSI: found by samples of `totalUs`, because the kernel refuses this process a trigger; up to a tenth
   * of the window late. False: the kernel's trigger fired.
   */
  sampled?: boolean
}

/** The service manager's pressure events: `watchServicePressure()`. */
export interface ServicePressureEvent {
  type: 'pressure'
  /** `$MEMORY_PRESSURE_WATCH` */
  source: string
  /** When the sentinel was woken: the first, if several were joined. */
  at: MonotonicNs
  /** How many notifications since the last event. */
  count: number
}
