// native/binding/spawn.cc, and the launcher's side of the talk (native/guardian/launcher.h).
import type { GroupHandle } from './group.js'

export interface SpawnBinding {
  /** An fd for writing the group's cgroup.procs, closed by an exec. */
  openProcs(group: GroupHandle): number
  /** pipe(7), closed by an exec: [read end, write end]. */
  statusPipe(): [number, number]
}

/** LaunchStage::kJoin: the group could not be joined. All other stages are execve(2) and its likes. */
export const STAGE_JOIN = 1
