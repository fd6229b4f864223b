// What is known about a child's end: collected by report.ts, judged by judge.ts. Numbers are what has been added since
// the report was asked for; undefined is what could not be read.
import type { EpisodeReason, Outcome } from '../../types/guard.js'
import type { OomOrigin } from '../../types/watch.js'

/** An episode of a guard of this process, of the child's group, of one below it or of one above it. */
export interface EpisodeFact {
  /** Whose limit: that of a group above, or of the child's group or one below it. */
  of: 'self' | 'ancestor'
  reason: EpisodeReason
  /** undefined: it has not ended yet. */
  outcome: Outcome | undefined
  /** It ended when the child did, as far as this process saw it, or has not ended. */
  together: boolean
  /** Of the child's group, as far as that could be seen. */
  killed: readonly number[]
  kernelKills: number
  signalled: readonly { pid: number; signal: NodeJS.Signals }[]
}

export interface ExitFacts {
  /** Why the child was never started. */
  notStarted: string | undefined
  pid: number | undefined
  code: number | null
  signal: NodeJS.Signals | null
  /** No process is in the group but the child and what it has started. */
  own: boolean
  /** The base line may be younger than the first kill: numbers are those since the group was made. */
  late: boolean
  /** The group is gone, or cannot be read: its last counters are missing. */
  gone: boolean
  /** By the counters of the group and those below it; `gone`: as last seen, at least. */
  kernelKills: number | undefined
  /** By /proc/vmstat: tasks of the whole machine. */
  machineKills: number | undefined
  /** OOMs that the group was notified of, by whose limit it was. */
  ooms: Record<OomOrigin, number>
  /** This process was notified of all of them before the end of an episode that was over before the child ended. */
  oomsOver: boolean
  /** That is all of them: the group was watched from the start to the end. */
  watched: boolean
  /** v1: those of `kernelKills` that were in groups below, whose OOMs this group is not notified of. */
  below: number
  /** v2: times that a charge failed at the limit of the group or of one below it. */
  failed: number
  /** v1: times that the group met its limit while its killer was disabled, so that calls may have failed (ENOMEM). */
  refused: number
  /** Less than half of the limit is in use after the end: what met the limit was no page cache. */
  freed: boolean
  /** Usage came within a 16th of the limit. */
  near: boolean
  episodes: readonly EpisodeFact[]
  peak: number | undefined
  limit: number | undefined
}
