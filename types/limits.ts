// A group's limits and counters, as its control files have them.
import type { Bytes } from './common.js'

/** The version of the cgroup interface that a group belongs to: cgroups(7). */
export type CgroupVersion = 1 | 2

/**
 * The limits of a group: kernel Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. A field is
 * `undefined` where the group's version, or the kernel, has no such file.
 */
export interface MemoryLimits {
  /** Bytes; `Infinity`: none. v1 `memory.limit_in_bytes`, v2 `memory.max`. */
  max: number
  /** Bytes; `Infinity`: none. v2 `memory.high`. */
  high?: number | undefined
  /**
   * Bytes of swap on top of memory; `Infinity`: none. v2 `memory.swap.max`; v1 the difference of
   * `memory.memsw.limit_in_bytes` and `memory.limit_in_bytes`.
   */
  swapMax?: number | undefined
  /** v2 `memory.oom.group`: the kernel kills the whole group or nothing. */
  oomGroup?: boolean | undefined
}

/** {@link MemoryLimits} to set: each field that is present is written, the others stay as they are. */
export interface MemoryLimitsInit {
  /** Bytes; `'max'`: no limit. v1 `memory.limit_in_bytes`, v2 `memory.max`. */
  max?: Bytes | undefined
  /** Bytes; `'max'`: no limit. v2 `memory.high`; ERR_CGROUP_UNSUPPORTED on v1. */
  high?: Bytes | undefined
  /**
   * Bytes of swap on top of memory; `'max'`: no limit. v2 `memory.swap.max`, v1 `memory.memsw.limit_in_bytes`.
   * ERR_CGROUP_UNSUPPORTED where swap is not accounted, and on v1 for a group without `max`.
   */
  swapMax?: Bytes | undefined
  /** v2 `memory.oom.group`; ERR_CGROUP_UNSUPPORTED on v1. */
  oomGroup?: boolean | undefined
}

/** What a new group begins with. */
export interface MemoryGroupInit extends MemoryLimitsInit {
  /**
   * False: its processes do not swap, as with `swapMax: 0`, but a machine that does not account for swap is no
   * error: there is nothing to set there. Together with `swapMax` ERR_INVALID_ARG_VALUE. Default true: as the kernel
   * has it.
   */
  swap?: boolean | undefined
}

/**
 * The kernel's own counters of a group, since it was made; `undefined` where the group's version has
 * none. On v2 (memory.events) those of all groups below are added in.
 */
export interface OomCounters {
  /** Times the group was out of memory: v2 `memory.events`. v1 has no such counter. */
  oom?: number | undefined
  /** Tasks of the group killed by the OOM killer. v1 `memory.oom_control`, v2 `memory.events`. */
  oomKill?: number | undefined
  /** Times the whole group was killed: v2 (5.17 and later). */
  oomGroupKill?: number | undefined
  /** Times the group was throttled at `memory.high`: v2. */
  high?: number | undefined
  /**
   * Times the group met its limit: v2 `max`, v1 `memory.failcnt`, which does not count where the limit
   * is that of memory with swap (`swapMax: 0`).
   */
  max?: number | undefined
  /** Whether tasks of the group wait for user space to decide: v1 `memory.oom_control`. */
  underOom?: boolean | undefined
}
