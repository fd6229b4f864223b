// Between guards and what drives the episode machine behind them: the sentinel (native-guard.ts) or a simulated
// group (simulation/guard.ts). The driver reports to the guard what has happened; the user's calls go to its backend.
import type { MemoryGroup } from '../../types/group.js'
import type { EpisodeMember, EpisodeReason, EpisodeSample, StepReport } from '../../types/guard.js'
import type { Target } from '../native/guards.js'
import type { NativeOutcome } from '../native/records.js'

/** Which episode: the group's number and the machine's own count. */
export interface EpisodeKey {
  sub: number
  episode: number
}

export interface EpisodeStart extends EpisodeKey {
  group: string
  reason: EpisodeReason
  startedAt: bigint
  deadline: bigint
  usage: number
  limit: number
  /** Episodes of this group that were never reported. */
  missed?: number
}

export interface EpisodeFinish extends EpisodeKey {
  outcome: NativeOutcome
  at: bigint
  lateNs: number
  kernelKills: number
  members: EpisodeMember[]
  moreMembers?: number
  samples: EpisodeSample[]
}

/** A step as the drivers report it. */
export interface Step {
  report: StepReport
  by: 'plan' | 'fallback'
}

/** What carries out the user's calls. Commands to an episode that has ended return false. */
export interface GuardBackend {
  raiseLimit(key: EpisodeKey, group: string, to: number | { by: number }): Promise<void>
  kill(key: EpisodeKey, group: string, victim: Target, signal: NodeJS.Signals): Promise<number[]>
  move(key: EpisodeKey, group: string, pid: number, to: MemoryGroup): Promise<void>
  extend(key: EpisodeKey, ms: number): boolean
  yield(key: EpisodeKey): boolean
  setDelay(ms: number): void
  dispose(): Promise<void>
  groups(): number
  now(): bigint
  /** Whether a process has memory: one that has none has ended, or is about to. */
  lives(pid: number): boolean
}
