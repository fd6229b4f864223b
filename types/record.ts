// One line of the file that `guard({ record })` appends to, as JSON.parse() gives it.
import type { EpisodeMember, EpisodeReason, Outcome, PlanAction, Fallback } from './guard.js'

/** Sizes are bytes, `null` where there is no limit; times are milliseconds since the episode began. */
export interface RecordedEpisode {
  /** The version of the format. A reader passes over lines with a version that it does not know. */
  format: 1
  /** When it began, ISO 8601 in UTC. */
  time: string
  host: string
  /** The guarding process. */
  pid: number
  /** Absolute path of the group that was out of memory. */
  group: string
  cgroup: 1 | 2
  heldBy: 'kernel' | 'signals'
  /** {@link OomEpisode.id} */
  id: number
  /** Absent: `'oom'`. */
  reason?: EpisodeReason
  usage: number
  limit: number | null
  deadline: number
  end: number
  outcome: Outcome
  /** From the deadline to the fallback being carried out; 0 where none was. */
  late: number
  killed: number[]
  kernelKills: number
  steps: {
    at: number
    action: PlanAction | Fallback
    errno: number
    code?: string
    signal?: NodeJS.Signals
    killed: number[]
    dryRun: boolean
  }[]
  signalled: {
    at: number
    pid: number
    signal: NodeJS.Signals
    by: 'plan' | 'fallback' | 'program'
  }[]
  members: EpisodeMember[]
  /** Absent: the members are not known. */
  moreMembers?: number
  samples: { at: number; usage: number; limit: number | null; line: number | null }[]
}
