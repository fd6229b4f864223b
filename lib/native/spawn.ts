// native/binding/spawn.cc, and the launcher's side of the talk (native/guardian/launcher.h).
export interface SpawnBinding {
  /** pipe(7), closed by an exec: [read end, write end]. */
  statusPipe(): [number, number]
}

/** LaunchStage::kJoin: the group could not be joined. All other stages are execve(2) and its likes. */
export const STAGE_JOIN = 1
