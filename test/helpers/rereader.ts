// A job that lives by what it reads back: its pages do not fit into its group.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import { compiled } from './compile.js'
import { MiB, mount, write } from './memory-files.js'
import type { Ending } from './scratch.js'
import { inLab, swapOn } from './swap.js'

/** For what makes a disk slow. */
export const slowable = inLab ? {} : { skip: "only in the lab's machine: its disk is made slow" }

/**
 * Processes that use a file of `mib` MiB on `disk` again and again ('random', 'stream'), or as much memory each
 * ('swap'), as members of the group; ended with the test. test/native/rereader.c has it.
 */
export async function rereader(
  t: Ending,
  dir: string,
  { disk, mib, readers, how }: { disk: string; mib: number; readers: number; how: string },
): Promise<ChildProcess> {
  const args = [dir, join(disk, 'file'), String(mib), String(readers), how]
  const child = spawn(compiled('rereader'), args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await once(child.stdout, 'data')
  return child
}

/** Whether waiting for swap counts as a stall: docs/kernel.md has it. */
export const swapStalls = !release().startsWith('6.1.')

/**
 * What the kernel at hand counts as a stall within seconds, in a group of 16 MiB whose disk is slow. To be called
 * before the group is guarded: a guard knows no swap that is switched on later.
 */
export function thrasher(t: Ending, disk: string): (dir: string) => Promise<ChildProcess> {
  if (!swapStalls) return dir => rereader(t, dir, { disk, mib: 20, readers: 4, how: 'random' })
  swapOn(t, 64 * MiB)
  return dir => rereader(t, dir, { disk, mib: 20, readers: 1, how: 'swap' })
}

/** A disk that is slow for the group: what a page that is read back takes must not depend on the machine. */
export function slowDisk(dir: string, disk: string, reads: number): void {
  for (const above of [mount, dirname(dir)]) write(above, 'cgroup.subtree_control', '+io')
  const { dev } = statSync(disk)
  writeFileSync(join(dir, 'io.max'), `${(dev >> 8) & 0xfff}:${dev & 0xff} riops=${reads}\n`)
}
