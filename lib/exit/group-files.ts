// A group's counters and sizes, read at once: a report's base line must be older than the child's first fault. By
// path, and only while the path still is this very group.
//
// Kernel contract: v1 memory.oom_control (oom_kill since 4.13), failcnt; v2 memory.events, which has all groups
// below it; /proc/vmstat, oom_kill. proc_vmstat(5), Documentation/admin-guide/cgroup-v2.rst.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { CgroupVersion } from '../../types/limits.js'

export interface GroupPlace {
  path: string
  version: CgroupVersion
  /** 'device:inode'; undefined: whatever is at the path. */
  identity: string | undefined
}

export interface GroupSample {
  /** Tasks that the kernel has killed, in groups below too. */
  kills: number
  /** v1: those of them in groups below. */
  below: number
  /** v2: charges that failed at the limit, in groups below too. */
  failed: number
  /** v1: times that the limit was met. */
  met: number
  /** v1: tasks wait for user space at an OOM, and calls fail. */
  disabled: boolean
  usage: number | undefined
  peak: number | undefined
  /** undefined: none. */
  limit: number | undefined
  /** undefined: they cannot be listed. */
  pids: number[] | undefined
}

function text(...path: string[]): string | undefined {
  try {
    return readFileSync(join(...path), 'utf8')
  } catch {
    return undefined
  }
}

function field(lines: string | undefined, key: string): number | undefined {
  const found = new RegExp(`^${key} (\\d+)$`, 'm').exec(lines ?? '')
  return found === null ? undefined : Number(found[1])
}

function number(...path: string[]): number | undefined {
  const found = text(...path)?.trim()
  return found === undefined || !/^\d+$/.test(found) ? undefined : Number(found)
}

// v1 writes the largest number of pages for no limit.
const bounded = (size: number | undefined): number | undefined =>
  size !== undefined && size < 2 ** 60 ? size : undefined

/** Tasks that the kernel's OOM killer has killed on the whole machine. */
export const machineKills = (): number | undefined => field(text('/proc/vmstat'), 'oom_kill')

export function isThere({ path, identity }: GroupPlace): boolean {
  try {
    const { dev, ino } = statSync(path, { bigint: true })
    return identity === undefined || identity === `${dev}:${ino}`
  } catch {
    return false
  }
}

// Without swap the limit that is met is that of memory and swap together.
const met = (path: string): number =>
  (number(path, 'memory.failcnt') ?? 0) + (number(path, 'memory.memsw.failcnt') ?? 0)

/** v1 counts a kill in the victim's group alone. */
function killsBelow(path: string): number {
  let kills = 0
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue
      const below = join(path, entry.name)
      kills += (field(text(below, 'memory.oom_control'), 'oom_kill') ?? 0) + killsBelow(below)
    }
  } catch {}
  return kills
}

/** Members first, so that a kill of one that has ended by then is counted. undefined: gone, or not to be read. */
export function sampleGroup(place: GroupPlace): GroupSample | undefined {
  const { path, version } = place
  if (!isThere(place)) return undefined
  const v1 = version === 1
  const pids = text(path, 'cgroup.procs')
  const counters = text(path, v1 ? 'memory.oom_control' : 'memory.events')
  const own = field(counters, 'oom_kill')
  if (own === undefined) return undefined
  const below = v1 ? killsBelow(path) : 0
  return {
    kills: own + below,
    below,
    failed: v1 ? 0 : (field(counters, 'oom') ?? 0),
    met: v1 ? met(path) : 0,
    disabled: v1 && field(counters, 'oom_kill_disable') === 1,
    usage: number(path, v1 ? 'memory.usage_in_bytes' : 'memory.current'),
    peak: number(path, v1 ? 'memory.max_usage_in_bytes' : 'memory.peak'),
    limit: bounded(number(path, v1 ? 'memory.limit_in_bytes' : 'memory.max')),
    pids: pids?.split('\n').filter(Boolean).map(Number),
  }
}

// include/linux/sched.h
const PF_EXITING = 0x4
const PF_SIGNALED = 0x400
const SIGKILL_PENDING = 0x100n

/** proc_pid_stat(5) from the state on; the name before it may hold anything. */
const statOf = (pid: number): string[] | undefined =>
  text(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')

/** Whether a process has ended, or is about to. */
export function isEnding(pid: number): boolean {
  const stat = statOf(pid)
  if (stat === undefined || /^[ZX]$/.test(stat[0]!)) return true
  if ((Number(stat[6]) & (PF_EXITING | PF_SIGNALED)) !== 0) return true
  const pending = /^ShdPnd:\s*([0-9a-f]+)$/m.exec(text(`/proc/${pid}/status`) ?? '')
  return pending === null || (BigInt(`0x${pending[1]}`) & SIGKILL_PENDING) !== 0n
}

/** Whether a process descends from another one, is that one, or has ended. */
export function isOf(pid: number, ancestor: number): boolean {
  for (let at = pid; at !== ancestor;) {
    const parent = Number(statOf(at)?.[1] ?? NaN)
    if (Number.isNaN(parent)) return true
    if (parent <= 1) return false
    at = parent
  }
  return true
}

/** The members alone, of a group that is there. */
export function pidsOf({ path }: GroupPlace): number[] {
  return (text(path, 'cgroup.procs') ?? '').split('\n').filter(Boolean).map(Number)
}
