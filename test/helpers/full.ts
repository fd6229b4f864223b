// A full group whose members wait, as a guard would keep it: v1 by its OOM, v2 held and frozen.
import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import { setFrozen } from './freezer.js'
import { Hog } from './hog.js'
import { holdByHand, limit, MiB, read, underOom, version, write } from './memory-files.js'
import { until } from './scratch.js'

/** Fills a group of 16 MiB; `filled` is when it has been given room. */
export async function fillUp(t: Test, dir: string): Promise<{ hog: Hog; filled: Promise<number> }> {
  holdByHand(dir)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const filled = hog.fill(24 * MiB)
  filled.catch(() => {})
  await until(() => underOom(dir))
  if (version === 2) setFrozen(dir, true)
  return { hog, filled }
}

export function giveRoom(dir: string): void {
  limit(dir, 128 * MiB)
  if (version === 1) return
  write(dir, 'memory.high', 'max')
  setFrozen(dir, false)
}

/**
 * A member that waits for it. One may get on with what is charged ahead, up to 64 pages for each processor: then it has
 * ended, and another one is to be started.
 */
export const waits = (dir: string, pid: number): boolean =>
  read(dir, 'cgroup.procs').split('\n').includes(String(pid)) &&
  (version === 1
    ? /^State:\tD/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
    : /^frozen 1$/m.test(read(dir, 'cgroup.events')))
