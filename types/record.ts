// One line of the file that `guard({ record })` appends to, as JSON.parse() gives it.
import type { EpisodeMember, EpisodeReason, Outcome, PlanAction, Fallback } from './guard.js'

/**
 * An episode as {@link GuardOptions.record} writes it. Sizes are bytes, `null` where there is no limit. Points in time
 * are milliseconds since the episode began.
 */
export interface RecordedEpisode {
  /** The version of the format. A reader passes over lines with a version that it does not know. */
  format: 1
  /** When it began, ISO 8601 in UTC. */
  time: string
  /** `os.hostname()` */
  host: string
  /** The guarding process. */
  pid: number
  /** Absolute path of the group that was out of memory. */
  group: string
  /** The version of its hierarchy: cgroups(7). */
  cgroup: 1 | 2
  /** {@link OomGuard.heldBy} */
  heldBy: 'kernel' | 'signals'
  /** {@link OomEpisode.id} */
  id: number
  /** Always written by this version. Absent in older files: `'oom'`. */
  reason?: EpisodeReason
  /** Bytes in use when it began. */
  usage: number
  /** {@link OomEpisode.limit} */
  limit: number | null
  /** The deadline as it was last, milliseconds since the episode began. */
  deadline: number
  /** {@link EpisodeEnd.at}, milliseconds since the episode began. */
  end: number
  outcome: Outcome
  /** Milliseconds from the deadline to the fallback being carried out; 0 where none was. */
  late: number
  /** {@link EpisodeEnd.killed} */
  killed: number[]
  /** {@link EpisodeEnd.kernelKills} */
  kernelKills: number
  /** {@link EpisodeEnd.steps}; `at` in milliseconds since the episode began. */
  steps: {
    at: number
    action: PlanAction | Fallback
    errno: number
    code?: string
    signal?: NodeJS.Signals
    killed: number[]
    dryRun: boolean
  }[]
  /** {@link EpisodeEnd.signalled}; `at` in milliseconds since the episode began. */
  signalled: {
    at: number
    pid: number
    signal: NodeJS.Signals
    by: 'plan' | 'fallback' | 'program'
  }[]
  /** {@link EpisodeEnd.members} */
  members: EpisodeMember[]
  /** {@link EpisodeEnd.moreMembers}; absent: the members are not known. */
  moreMembers?: number
  /** {@link EpisodeEnd.samples}; `at` in milliseconds since the episode began. */
  samples: { at: number; usage: number; limit: number | null; line: number | null }[]
}
