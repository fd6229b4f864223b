// A descriptor of the group's cgroup.procs, for the launcher to inherit: permissions are checked
// here, once, and no path is looked up again.
import { constants, openSync } from 'node:fs'
import type { MemoryGroup } from '../group.js'

export function openProcs(group: MemoryGroup): number {
  return openSync(`${group.path}/cgroup.procs`, constants.O_WRONLY)
}
