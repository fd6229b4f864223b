// Scratch groups for tests: made only under a directory of this process's own, removed whatever
// happens, and never left hanging: a separate process gives every killer back after a time limit.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const PREFIX = 'cgroup-oom-test-'
export const MiB = 1024 * 1024

/** What a test and a measurement (bench/lib/run.ts) have in common: something to do at the end. */
export interface Ending {
  teardown(end: () => Promise<void>): void
}

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

/** What marks the line of /proc/PID/cgroup that says in which group a process is. */
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

/** v2 does not let a group have both members and groups below it that have the controller. */
function giveToChildren(dir: string): void {
  if (version === 2) write(dir, 'cgroup.subtree_control', '+memory')
}

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

/** Whether the kernel can be asked to reclaim in it: memory.reclaim is there from 5.19 on. */
export const canReclaim = (dir: string): boolean =>
  version === 1 || existsSync(join(dir, 'memory.reclaim'))

/** A group below `parent` that needs no controller: one with members may have such, on v2 too. */
export function plainChild(parent: string, name: string): string {
  const dir = join(parent, name)
  mkdirSync(dir)
  return dir
}

const isFrozen = (dir: string): boolean => read(dir, 'cgroup.freeze').trim() === '1'

/** Its OOM is in a guard's hands: v1 the killer is disabled, v2 it is held below its limit. */
export function isHeld(dir: string): boolean {
  if (version === 1) return field(dir, 'memory.oom_control', 'oom_kill_disable') > 0
  return size(dir, 'memory.high') < size(dir, MAX) || isFrozen(dir)
}

/** As somebody would who has no guard: v2 by throttling from half of the limit on. */
export function holdByHand(dir: string): void {
  if (version === 1) write(dir, 'memory.oom_control', 1)
  else write(dir, 'memory.high', size(dir, MAX) / 2)
}

/** It is out of memory and its members wait: v2 it is past the line of the hold, or frozen there. */
export function underOom(dir: string, slack = 0): boolean {
  if (version === 1) return field(dir, 'memory.oom_control', 'under_oom') > 0
  // Frozen it may fall back a little: what CPUs had charged ahead is taken back.
  return isFrozen(dir) || (isHeld(dir) && size(dir, USAGE) + slack > size(dir, 'memory.high'))
}

/** Whether one that was still is: throttled members may fall back a little as well. */
export const stillUnderOom = (dir: string): boolean => underOom(dir, MiB)

/** How full a guarded group with this limit is when it counts as out of memory (docs/hold.md). */
export const lineOf = (max: number): number =>
  version === 1 ? max : max - Math.max(2 * MiB, max / 16)

/** What the kernel tells a guard of an OOM by, as /proc/PID/fd names it; v2: a file of the group's. */
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

function children(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter(e => e.isDirectory())
    .map(e => join(dir, e.name))
}

// A frozen v1 task dies only once it is thawed, and a test may have frozen its group's twin.
function thawTwin(dir: string): void {
  const twin = dir.replace(mount, mount.replace(/memory$/, 'freezer'))
  if (twin === dir || !existsSync(twin)) return
  try {
    write(twin, 'freezer.state', 'THAWED')
  } catch {}
}

function removeTwin(dir: string): void {
  const twin = dir.replace(mount, mount.replace(/memory$/, 'freezer'))
  if (twin === dir || !existsSync(twin)) return
  try {
    rmdirSync(twin)
  } catch {}
}

/** Gives the killer back, kills the members and removes the group with all below it. */
export async function destroy(dir: string): Promise<void> {
  if (!existsSync(dir)) return
  try {
    if (version === 1) write(dir, 'memory.oom_control', 0)
    else write(dir, 'cgroup.freeze', 0)
  } catch {}
  thawTwin(dir)
  for (const child of children(dir)) await destroy(child)
  for (const began = Date.now(); Date.now() - began < 30_000; await sleep(5)) {
    try {
      for (const pid of read(dir, 'cgroup.procs').split('\n').filter(Boolean).map(Number)) {
        if (pid !== process.pid) process.kill(pid, 'SIGKILL')
      }
    } catch {}
    removeTwin(dir)
    try {
      rmdirSync(dir)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    }
  }
  throw new Error(`${dir} cannot be removed`)
}

/** Removes what runs of the suite that are gone have left. */
export async function sweep(): Promise<void> {
  if (!existsSync(mount)) return
  for (const dir of children(mount)) {
    const pid = Number(basename(dir).slice(PREFIX.length))
    if (basename(dir).startsWith(PREFIX) && !existsSync(`/proc/${pid}`)) await destroy(dir)
  }
}

// Outlives this process: enables every killer (v2: thaws every group) below `dir` after `seconds`,
// then each second until the directory is gone.
function startKeeper(dir: string, seconds: number): void {
  const file = version === 1 ? 'memory.oom_control' : 'cgroup.freeze'
  const script = `sleep ${seconds}; while [ -d "$1" ]; do find "$1" -name ${file} -exec sh -c 'echo 0 > "$1"' _ {} \\; ; sleep 1; done`
  spawn('sh', ['-c', script, 'keeper', dir], { detached: true, stdio: 'ignore' }).unref()
}

const own = join(mount, `${PREFIX}${process.pid}`)
let made = 0

let swap: 0 | 'max' = 0

/** v2: whether groups of this process's tests may swap: not, but in tests about it. */
export function allowSwap(max: 0 | 'max'): void {
  const file = 'memory.swap.max'
  swap = max
  if (version === 2 && existsSync(join(own, file))) write(own, file, max)
}

/**
 * A new group of the test's own with a limit in bytes, removed at the test's end. `keepSeconds` is
 * the time limit after which its killer (and every killer below it) is given back from outside.
 */
export function scratch(t: Ending, max?: number, keepSeconds = 60): string {
  if (!existsSync(own)) {
    giveToChildren(mount)
    mkdirSync(own)
    giveToChildren(own)
    allowSwap(swap)
  }
  const dir = join(own, String(made++))
  mkdirSync(dir)
  if (max !== undefined) limit(dir, max)
  startKeeper(dir, keepSeconds)
  t.teardown(async () => {
    await destroy(dir)
    if (existsSync(own) && children(own).length === 0) await destroy(own)
  })
  return dir
}

/** A group below `parent`, which removes it. */
export function child(parent: string, name: string, max?: number): string {
  const dir = join(parent, name)
  giveToChildren(parent)
  mkdirSync(dir)
  if (max !== undefined) limit(dir, max)
  return dir
}

/** Waits until the condition holds; the test's own timeout is the bound. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(1)
}
