// native/binding/spawn.cc, and the launcher's side of the talk (native/guardian/launcher.h).
import type { GroupHandle } from './group.js'

export interface SpawnBinding {
  /** An fd for writing the group's cgroup.procs, closed by an exec. */
  openProcs(group: GroupHandle): number
  /** pipe(7), closed by an exec: [read end, write end]. */
  statusPipe(): [number, number]
}

/** LaunchStage: those that are not execve(2) and its likes. */
export const Stage = { started: 0, join: 1, score: 5 } as const
