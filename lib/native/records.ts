// Records from the sentinel and from a simulated group, as native/binding/records.cc makes them. `at`: when
// the sentinel was woken, CLOCK_MONOTONIC nanoseconds. Sizes are bytes.
import type {
  EpisodeMember,
  EpisodeReason,
  EpisodeSample,
  Fallback,
  Outcome,
  PlanAction,
} from '../../types/guard.js'
import type { OomCounters } from '../../types/limits.js'
import type { OomOrigin } from '../../types/watch.js'

/** What the episode machine knows: `'signalled'` is added in guard/episode.ts. */
export type NativeOutcome = Exclude<Outcome, 'signalled'>

interface OfGroup {
  at: bigint
  /** Which group of a tree. */
  sub: number
  count: number
  counters: OomCounters
}

export interface OomRecord extends OfGroup {
  kind: 'oom'
  origin: OomOrigin
}

export interface CountedRecord extends OfGroup {
  kind: 'kill' | 'high' | 'max'
}

/** Of a watch, a guard, a usage threshold or pressure: the group is gone. */
export interface RemovedRecord {
  kind: 'removed'
  at: bigint
  sub: number
  /** What is watched or guarded itself, and no group below it. */
  root: boolean
  /** As last seen; of a watch only. */
  counters: OomCounters
}

export interface UsageRecord {
  kind: 'usage'
  at: bigint
  count: number
  usage: number
  /** Infinity: a share of a limit that is none any more. */
  threshold: number
  above: boolean
}

export interface PressureRecord {
  kind: 'pressure'
  at: bigint
  count: number
  /** Microseconds stalled in all; 0 where it is no PSI trigger. */
  totalUs: number
  /** By samples of that, where no trigger may be set. */
  sampled: boolean
}

export interface TimerRecord {
  kind: 'timer'
  /** When the sentinel saw it. */
  at: bigint
  count: number
  /** When it was due; of the first, where several are joined. */
  due: bigint
}

interface OfEpisode {
  at: bigint
  sub: number
  /** The episode machine's own count. */
  episode: number
}

export interface BeginRecord extends OfEpisode {
  kind: 'begin'
  reason: EpisodeReason
  deadline: bigint
  usage: number
  limit: number
  /** Earlier episodes of this group whose records did not fit into the ring. */
  missed: number
}

/** A step of the plan, or the fallback; `at`: when it was started, with `dryRun` when it was due. */
export type StepRecord = OfEpisode & {
  kind: 'step'
  /** 0, or negative. */
  errno: number
  /** Of what is no errno of this platform: its name. */
  code?: string
  /** The number of the signal that the pids were sent; 0: none. */
  signal: number
  dryRun: boolean
} & ({ by: 'plan'; action: PlanAction } | { by: 'fallback'; action: Fallback })

/** The processes that the step before it has sent a signal; there may be several such records. */
export interface PidsRecord extends OfEpisode {
  kind: 'pids'
  pids: number[]
}

export interface EndRecord extends OfEpisode {
  kind: 'end'
  outcome: NativeOutcome
  lateNs: number
  kernelKills: number
  members: EpisodeMember[]
  /** Absent: the members are not known. */
  moreMembers?: number
  samples: EpisodeSample[]
}

/** A group of a tree can no longer be watched, or a guard cannot go on. */
export interface TroubleRecord {
  kind: 'trouble'
  at: bigint
}

export type EpisodeRecord = BeginRecord | StepRecord | PidsRecord | EndRecord
export type WatchRecord = OomRecord | CountedRecord | RemovedRecord
export type NativeRecord =
  EpisodeRecord | WatchRecord | UsageRecord | PressureRecord | TimerRecord | TroubleRecord

export type RecordOf<Kind extends NativeRecord['kind']> = Extract<NativeRecord, { kind: Kind }>

export function isOfKind<Kind extends NativeRecord['kind']>(
  record: NativeRecord,
  kind: Kind,
): record is RecordOf<Kind> {
  return record.kind === kind
}
