import type { CgroupVersion } from './limits.js'

/** One thing that the library needs or can use, as found on this machine. */
export interface Capability {
  available: boolean
  /** Why it is or is not, in a sentence. */
  reason: string
  /** What to do about it; absent where it is available. */
  remedy?: string
}

/**
 * `'delegated'`: root on the machine itself, or the owner of a delegated group. `'container'`: a container whose
 * cgroupfs can be written. `'systemd'`: a session or unit that was not delegated. `'read-only'`: a container
 * whose cgroupfs cannot be written, or a user to whom nothing was delegated. `'none'`: no memory cgroups.
 */
export type PlaceKind = 'delegated' | 'container' | 'systemd' | 'read-only' | 'none'

/** Where this process stands, and what would give it more. */
export interface ProbePlace {
  kind: PlaceKind
  /**
   * What has left its signs: `'docker'`, `'podman'`, `'nerdctl'`, `'containerd'`, `'cri-o'`, `'gke'`, `'container'`,
   * `'systemd'`, or null.
   */
  runtime: string | null
  /** The unit of systemd around this process, or null. */
  unit: string | null
  /** What works here, in a sentence. */
  works: string
  /** The one switch that gives more; absent where nothing is missing. */
  more?: string
}

/** What bounds the memory of the group that is judged and of this process, as far as it can be seen from here. */
export interface ProbeBounds {
  /** The lowest limit of the group and all above it that can be seen, bytes; null: no limit. */
  limit: number | null
  /** The group with that limit; null also where it is above what is mounted here (v1). */
  limitedBy: string | null
  /** V8's limit of this process's heap, bytes. */
  heapLimit: number
  /** The outermost group with memory.oom.group = 1, at or above the group: an OOM takes all of it. Or null. */
  oomGroup: string | null
  /** OOMPolicy= of the unit around this process, or null. */
  oomPolicy: string | null
  /** oom_score_adj of this process, or null. */
  oomScoreAdj: number | null
  /** The lowest oom_score_adj of its children, or null where there are none or they cannot be listed. */
  childrenOomScoreAdj: number | null
}

/** Something about this place that is worth knowing before it is out of memory. */
export interface ProbeNote {
  about: 'oom-group' | 'oom-policy' | 'heap' | 'oom-score-adj'
  /** What is so, in a sentence. */
  reason: string
  /** What to do about it. */
  remedy: string
}

export interface ProbeOptions {
  /**
   * The group that is judged: absolute, or relative to the memory hierarchy's mount. Default: the one that this
   * process is in.
   */
  in?: string | undefined
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
  /** The group that the report judges, absolute: `in`, else `self`. */
  group: string | null
  place: ProbePlace
  bounds: ProbeBounds
  notes: readonly ProbeNote[]
  /** The native addon could be loaded. */
  addon: Capability
  /** A memory controller is mounted. */
  memory: Capability
  /** Groups can be made and limits written. */
  writable: Capability
  /** `MemoryGroup.home()` gives a group below which groups with limits can be made. */
  home: Capability
  /** Groups can be watched. */
  watch: Capability
  /** Groups can be guarded, held by the kernel's control files. */
  guard: Capability
  /** The group can be guarded with `hold: { by: 'signals' }`, which writes none of its files. */
  guardBySignals: Capability
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
