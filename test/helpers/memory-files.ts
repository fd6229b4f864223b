// The files of a memory group, of whichever version of the controller the machine has: what tests
// read and write themselves, without the library.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

export const MiB = 1024 * 1024

const mounts = readFileSync('/proc/self/mounts', 'utf8')
  .split('\n')
  .map(line => line.split(' '))

/** The mounted v1 memory hierarchy, or undefined. */
export function v1Mount(): string | undefined {
  return mounts.find(l => l[2] === 'cgroup' && l[3]!.split(',').includes('memory'))?.[1]
}

/** The mounted v2 hierarchy with the memory controller, or undefined. */
export function v2Mount(): string | undefined {
  const offers = (at: string) =>
    readFileSync(join(at, 'cgroup.controllers'), 'utf8').trim().split(' ').includes('memory')
  return mounts.find(l => l[2] === 'cgroup2' && offers(l[1]!))?.[1]
}

export const mount = v1Mount() ?? v2Mount() ?? '/sys/fs/cgroup/memory'
/** Of the hierarchy that the tests run on; both at once there cannot be. */
export const version = v1Mount() === undefined && v2Mount() !== undefined ? 2 : 1

/** For tests of what one version alone has, to be given to `t.test`. */
export const onV1 = (why: string) => ({ skip: version === 1 ? false : `cgroup v1 only: ${why}` })
export const onV2 = (why: string) => ({ skip: version === 2 ? false : `cgroup v2 only: ${why}` })

export const MAX = version === 1 ? 'memory.limit_in_bytes' : 'memory.max'
export const USAGE = version === 1 ? 'memory.usage_in_bytes' : 'memory.current'

/** What marks the line of /proc/PID/cgroup that has the group of a process. */
export const HIERARCHY = version === 1 ? ':memory:' : '0::'

export function read(dir: string, file: string): string {
  return readFileSync(join(dir, file), 'utf8')
}

export function write(dir: string, file: string, text: string | number): void {
  writeFileSync(join(dir, file), String(text))
}

/** One field of a "key value" file such as memory.oom_control. */
export function field(dir: string, file: string, key: string): number {
  const line = read(dir, file)
    .split('\n')
    .find(l => l.startsWith(`${key} `))
  if (line === undefined) throw new Error(`no ${key} in ${dir}/${file}`)
  return Number(line.slice(key.length + 1))
}

/** How many of the group's own members the kernel has killed. */
export const killsIn = (dir: string): number =>
  field(dir, version === 1 ? 'memory.oom_control' : 'memory.events.local', 'oom_kill')

/** Sets the limit of memory, in bytes, or none. */
export const limit = (dir: string, bytes: number | 'max'): void =>
  write(dir, MAX, version === 1 && bytes === 'max' ? -1 : bytes)

const size = (dir: string, file: string): number => {
  const text = read(dir, file).trim()
  return text === 'max' ? Infinity : Number(text)
}
export const limitOf = (dir: string): number => size(dir, MAX)
export const usageOf = (dir: string): number => size(dir, USAGE)

/** v1: the limit of memory and swap together; not there when the kernel does not count swap. */
export const MEMSW = 'memory.memsw.limit_in_bytes'
export const memswOf = (dir: string): number => size(dir, MEMSW)
export const hasMemsw = (dir: string): boolean => existsSync(join(dir, MEMSW))

/** Whether the group has memory.reclaim, which is there from 5.19 on. */
export const canReclaim = (dir: string): boolean =>
  version === 1 || existsSync(join(dir, 'memory.reclaim'))

const isFrozen = (dir: string): boolean => read(dir, 'cgroup.freeze').trim() === '1'

/** Its OOM is in a guard's hands: v1 the killer is disabled, v2 it is held below its limit. */
export function isHeld(dir: string): boolean {
  if (version === 1) return field(dir, 'memory.oom_control', 'oom_kill_disable') > 0
  return size(dir, 'memory.high') < size(dir, MAX) || isFrozen(dir)
}

/** Holds a group without a guard, as an administrator would: v2 by throttling from half of the limit on. */
export function holdByHand(dir: string): void {
  if (version === 1) write(dir, 'memory.oom_control', 1)
  else write(dir, 'memory.high', size(dir, MAX) / 2)
}

/** It is out of memory and its members wait: v2 it is past the line of the hold, or frozen there. */
export function underOom(dir: string, slack = 0): boolean {
  if (version === 1) return field(dir, 'memory.oom_control', 'under_oom') > 0
  // Frozen it may fall back a little: the kernel uncharges what CPUs had charged ahead.
  return isFrozen(dir) || (isHeld(dir) && size(dir, USAGE) + slack > size(dir, 'memory.high'))
}

/** Whether one that was still is: throttled members may fall back a little as well. */
export const stillUnderOom = (dir: string): boolean => underOom(dir, MiB)

/** How full a guarded group with this limit is when it counts as out of memory (docs/hold.md). */
export const lineOf = (max: number): number =>
  version === 1 ? max : max - Math.max(2 * MiB, max / 16)

/** What notifies a guard of an OOM, as /proc/PID/fd names it; v2: a file of the group's. */
export const TOLD_BY = version === 1 ? ['anon_inode:[eventfd]'] : []

/** The directory of the memory group that a process is in. */
export function groupOf(pid: number): string {
  const line = version === 1 ? /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m : /^0::(.*)$/m
  return resolve(mount + line.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))![1]!)
}

/** The nearest group above that takes members: v2 none whose groups below have a controller. */
export function nearestAbove(dir: string): string {
  const above = dirname(dir)
  const inner = version === 2 && read(above, 'cgroup.subtree_control').trim() !== ''
  return inner && above !== mount ? nearestAbove(above) : above
}
