// Scratch groups for tests: made only under a directory of this process's own, always
// removed, and never left hanging: the keeper enables every killer after a time limit.
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startKeeper } from './keeper.js'
import { limit, mount, read, version, write } from './memory-files.js'

export const PREFIX = 'cgroup-oom-test-'

/** What a test and a measurement (bench/lib/run.ts) have in common: something to do at the end. */
export interface Ending {
  teardown(end: () => Promise<void>): void
}

/** v2 does not let a group have both members and groups below it that have the controller. */
function giveToChildren(dir: string): void {
  if (version === 2) write(dir, 'cgroup.subtree_control', '+memory')
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

/** Enables the killer, kills the members and removes the group with all below it. */
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
 * the time limit after which its killer (and every killer below it) is enabled from outside.
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

/** A group below `parent` that needs no controller: one with members may have such, on v2 too. */
export function plainChild(parent: string, name: string): string {
  const dir = join(parent, name)
  mkdirSync(dir)
  return dir
}

/** Waits until the condition holds; the test's own timeout is the bound. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(1)
}
