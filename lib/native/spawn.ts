// native/binding/spawn.cc, and the launcher's side of the talk (native/guardian/launcher.h).
import type { GroupHandle } from './group.js'

export interface SpawnBinding {
  /** An fd for writing the group's cgroup.procs, closed by an exec. */
  openProcs(group: GroupHandle): number
  /** pipe(7), closed by an exec: [read end, write end]. */
  statusPipe(): [number, number]
  /** close(2) of these: a worker's fs.closeSync() warns of what fs has not opened. */
  closeFd(fd: number): void
  /** What the launcher has written to it so far; `errno` is negative, or 0. */
  launchWords(bytes: Uint8Array): { stage: LaunchStage; errno: number }[]
}

/** LaunchStage: that it has started, or what it has failed in. */
export type LaunchStage = 'started' | 'join' | 'setgid' | 'setuid' | 'exec' | 'score'
