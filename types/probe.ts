import type { CgroupVersion } from './limits.js'

/** One thing that the library needs or can use, as found on this machine. */
export interface Capability {
  available: boolean
  /** Why it is or is not, in a sentence. */
  reason: string
  /** What to do about it; absent where it is available. */
  remedy?: string
}

export interface ProbeReport {
  platform: NodeJS.Platform
  arch: string
  /** uname -r; empty where there is no Linux. */
  kernel: string
  /** The version of the hierarchy that has the memory controller, or null. */
  version: CgroupVersion | null
  /** Where it is mounted, or null. */
  mount: string | null
  /** The group that this process is in, absolute, or null. */
  self: string | null
  /** The native addon could be loaded. */
  addon: Capability
  /** A memory controller is mounted. */
  memory: Capability
  /** Groups can be made and limits written. */
  writable: Capability
  /** Groups can be watched. */
  watch: Capability
  /** Groups can be guarded. */
  guard: Capability
  /** The guardian can be started. */
  guardian: Capability
  /** Processes can be started in groups: the launcher can be executed. */
  spawn: Capability
  /** PSI stalls: triggers, or samples where no trigger may be set. */
  pressure: Capability
  /** v1 freezer hierarchy or v2 cgroup.freeze. */
  freeze: Capability
  /** Swap is accounted (memory.memsw.* or memory.swap.max). */
  swap: Capability
  /** `lockMemory({ scope: 'oom-path' })` fits RLIMIT_MEMLOCK. */
  lockOomPath: Capability
  /** `lockMemory({ scope: 'process' })` fits RLIMIT_MEMLOCK. */
  lockProcess: Capability
  /** `protect()` may lower oom_score_adj. */
  protect: Capability
  /** pidfd_open(2) */
  pidfd: Capability
  /** process_mrelease(2) */
  mrelease: Capability
  /**
   * inotify(7), which notifies of new groups. Without it guards and watches work as well, and list the
   * groups ten times a second to find new ones, with thousands of groups about once a second.
   */
  inotify: Capability
}
