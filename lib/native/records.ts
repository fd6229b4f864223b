// Records from the sentinel and from a simulated group, and how they are made of what native/binding/records.cc
// passes: the arguments of the functions in MAKERS. `at`: when the sentinel was woken, CLOCK_MONOTONIC
// nanoseconds. Sizes are bytes.
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

type Counter = number | undefined

/** What is undefined, since the group's version does not have it, is left out. */
function countersOf(
  oom: Counter,
  oomKill: Counter,
  oomGroupKill: Counter,
  high: Counter,
  max: Counter,
  underOom: boolean | undefined,
): OomCounters {
  const counters: OomCounters = {}
  if (oom !== undefined) counters.oom = oom
  if (oomKill !== undefined) counters.oomKill = oomKill
  if (oomGroupKill !== undefined) counters.oomGroupKill = oomGroupKill
  if (high !== undefined) counters.high = high
  if (max !== undefined) counters.max = max
  if (underOom !== undefined) counters.underOom = underOom
  return counters
}

type Counters = Parameters<typeof countersOf>

function counted(
  kind: CountedRecord['kind'],
  at: bigint,
  sub: number,
  count: number,
  ...counters: Counters
): CountedRecord {
  return { kind, at, sub, count, counters: countersOf(...counters) }
}

/** Of a flat list, so many fields each. */
function each<T>(flat: readonly unknown[], fields: number, make: (at: number) => T): T[] {
  return Array.from({ length: flat.length / fields }, (_, i) => make(i * fields))
}

const MAKERS = {
  oom: (
    kind: 'oom',
    at: bigint,
    sub: number,
    count: number,
    origin: OomOrigin,
    ...counters: Counters
  ): OomRecord => {
    return { kind, at, sub, count, origin, counters: countersOf(...counters) }
  },
  kill: counted,
  high: counted,
  max: counted,
  removed: (
    kind: 'removed',
    at: bigint,
    sub: number,
    root: boolean,
    ...counters: Counters
  ): RemovedRecord => {
    return { kind, at, sub, root, counters: countersOf(...counters) }
  },
  usage: (
    kind: 'usage',
    at: bigint,
    count: number,
    usage: number,
    threshold: number,
    above: boolean,
  ): UsageRecord => ({ kind, at, count, usage, threshold, above }),
  pressure: (
    kind: 'pressure',
    at: bigint,
    count: number,
    totalUs: number,
    sampled: boolean,
  ): PressureRecord => ({ kind, at, count, totalUs, sampled }),
  timer: (kind: 'timer', at: bigint, count: number, due: bigint): TimerRecord => ({
    kind,
    at,
    count,
    due,
  }),
  begin: (
    kind: 'begin',
    at: bigint,
    sub: number,
    episode: number,
    reason: EpisodeReason,
    deadline: bigint,
    usage: number,
    limit: number,
    missed: number,
  ): BeginRecord => ({ kind, at, sub, episode, reason, deadline, usage, limit, missed }),
  step: (
    kind: 'step',
    at: bigint,
    sub: number,
    episode: number,
    by: 'plan' | 'fallback',
    action: PlanAction | Fallback,
    errno: number,
    code: string | undefined,
    signal: number,
    dryRun: boolean,
  ): StepRecord => {
    const step = { kind, at, sub, episode, by, action, errno, signal, dryRun } as StepRecord
    return code === undefined ? step : { ...step, code }
  },
  pids: (kind: 'pids', at: bigint, sub: number, episode: number, pids: number[]): PidsRecord => ({
    kind,
    at,
    sub,
    episode,
    pids,
  }),
  end: (
    kind: 'end',
    at: bigint,
    sub: number,
    episode: number,
    outcome: NativeOutcome,
    lateNs: number,
    kernelKills: number,
    // pid, name, resident of each
    memberFields: readonly (number | string)[],
    moreMembers: number | undefined,
    // at, usage, limit, line of each
    sampleFields: readonly (number | bigint)[],
  ): EndRecord => {
    const members = each(memberFields, 3, i => ({
      pid: memberFields[i] as number,
      name: memberFields[i + 1] as string,
      resident: memberFields[i + 2] as number,
    }))
    const samples = each(sampleFields, 4, i => ({
      at: sampleFields[i] as bigint,
      usage: sampleFields[i + 1] as number,
      limit: sampleFields[i + 2] as number,
      line: sampleFields[i + 3] as number,
    }))
    const end = { kind, at, sub, episode, outcome, lateNs, kernelKills, members, samples }
    return moreMembers === undefined ? end : { ...end, moreMembers }
  },
  trouble: (kind: 'trouble', at: bigint): TroubleRecord => ({ kind, at }),
} satisfies { [Kind in NativeRecord['kind']]: (kind: Kind, ...fields: never[]) => NativeRecord }

/** A record as it crosses the border. */
export type Row<Kind extends NativeRecord['kind'] = NativeRecord['kind']> = Parameters<
  (typeof MAKERS)[Kind]
>

export function recordOf<Kind extends NativeRecord['kind']>(row: Row<Kind>): RecordOf<Kind> {
  return (MAKERS[row[0]] as unknown as (...fields: Row<Kind>) => RecordOf<Kind>)(...row)
}
