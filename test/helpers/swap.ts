// Swap for a test, in the lab's machine alone: the swap of other machines stays as it is. Other tests'
// groups may use none of it (scratch.ts).
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { diskDir } from './disk.js'
import { MiB } from './memory-files.js'
import { allowSwap, type Ending } from './scratch.js'

/** In a machine of lab/. */
export const inLab = existsSync('/lab/cgroup')

/** Switches that much swap on until the test's end, for groups that scratch() has made, and will make. */
export function swapOn(t: Ending, bytes: number): void {
  const dir = inLab ? diskDir(t) : undefined
  if (dir === undefined) throw new Error("swap is for the lab's machine alone")
  const file = join(dir, 'swap')
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' })
  run('dd', 'if=/dev/zero', `of=${file}`, 'bs=1M', `count=${bytes / MiB}`)
  run('chmod', '600', file)
  run('mkswap', file)
  run('swapon', file)
  t.teardown(async () => {
    allowSwap(0)
    run('swapoff', file)
  })
  allowSwap('max')
}

/** Bytes of swap that the machine has left. */
export function freeSwap(): number {
  const [, kib] = /^SwapFree:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))!
  return Number(kib) * 1024
}
