// Scratch groups for tests: made only under a directory of this process's own, removed whatever
// happens, and never left hanging: a separate process gives every killer back after a time limit.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const PREFIX = 'cgroup-oom-test-'

/** What a test and a measurement (bench/lib/run.ts) have in common: something to do at the end. */
export interface Ending {
  teardown(end: () => Promise<void>): void
}

/** The mounted v1 memory hierarchy, or undefined. */
export function v1Mount(): string | undefined {
  const line = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find(l => l.split(' ')[2] === 'cgroup' && l.split(' ')[3]!.split(',').includes('memory'))
  return line?.split(' ')[1]
}

export const mount = v1Mount() ?? '/sys/fs/cgroup/memory'

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

export const underOom = (dir: string): boolean => field(dir, 'memory.oom_control', 'under_oom') > 0
export const killerDisabled = (dir: string): boolean =>
  field(dir, 'memory.oom_control', 'oom_kill_disable') > 0

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
    write(dir, 'memory.oom_control', 0)
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

// Outlives this process: enables every killer below `dir` after `seconds`, then each second until
// the directory is gone.
function startKeeper(dir: string, seconds: number): void {
  const script = `sleep ${seconds}; while [ -d "$1" ]; do find "$1" -name memory.oom_control -exec sh -c 'echo 0 > "$1"' _ {} \\; ; sleep 1; done`
  spawn('sh', ['-c', script, 'keeper', dir], { detached: true, stdio: 'ignore' }).unref()
}

const own = join(mount, `${PREFIX}${process.pid}`)
let made = 0

/**
 * A new group of the test's own with a limit in bytes, removed at the test's end. `keepSeconds` is
 * the time limit after which its killer (and every killer below it) is given back from outside.
 */
export function scratch(t: Ending, limit?: number, keepSeconds = 60): string {
  mkdirSync(own, { recursive: true })
  const dir = join(own, String(made++))
  mkdirSync(dir)
  if (limit !== undefined) write(dir, 'memory.limit_in_bytes', limit)
  startKeeper(dir, keepSeconds)
  t.teardown(async () => {
    await destroy(dir)
    if (existsSync(own) && children(own).length === 0) await destroy(own)
  })
  return dir
}

/** A group below `parent`, which removes it. */
export function child(parent: string, name: string, limit?: number): string {
  const dir = join(parent, name)
  mkdirSync(dir)
  if (limit !== undefined) write(dir, 'memory.limit_in_bytes', limit)
  return dir
}

/** Waits until the condition holds; the test's own timeout is the bound. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(1)
}

export const MiB = 1024 * 1024
