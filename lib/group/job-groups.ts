// The groups that this library makes for single jobs: their names, and what is left of those whose maker was killed before
// it could remove them. Such a group is removed by the next program that makes one beside it.
import { existsSync, readdirSync, rmdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { OomError } from '../base/errors.js'

const NAME = /^cgroup-oom-(?:job|run|budget)-(\d+)(?:-\d+)?$/
// A maker in another PID namespace cannot be seen: longer than it needs from the group to the job's first process.
const LEAST_AGE_MS = 60_000

/** Removes the empty ones below a directory whose maker has ended. */
export function removeLeftovers(parent: string): void {
  let names: string[]
  try {
    names = readdirSync(parent)
  } catch {
    return
  }
  for (const name of names) {
    const maker = NAME.exec(name)?.[1]
    if (maker === undefined || existsSync(`/proc/${maker}`)) continue
    const path = join(parent, name)
    try {
      // The kernel removes none that has members or groups below it.
      if (Date.now() - statSync(path).mtimeMs > LEAST_AGE_MS) rmdirSync(path)
    } catch {}
  }
}

const swept = new Set<string>()
let made = 0

/** Calls `create` with a name that no group below `parent` has. */
export async function createJobGroup<T>(
  parent: string,
  kind: 'job' | 'budget',
  create: (name: string) => Promise<T>,
): Promise<T> {
  if (!swept.has(parent)) {
    swept.add(parent)
    removeLeftovers(parent)
  }
  for (;;) {
    try {
      return await create(`cgroup-oom-${kind}-${process.pid}-${made++}`)
    } catch (error) {
      // Of a process before this one that had its number.
      if ((error as OomError).code !== 'EEXIST') throw error
    }
  }
}
