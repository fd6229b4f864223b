// Memory pressure made, and what PSI has of it.
import { closeSync, openSync, writeSync } from 'node:fs'
import { Hog } from './hog.js'
import { MiB, version } from './memory-files.js'

// More than the limit: the kernel tries to reclaim, finds little, and its vmpressure sees it.
function strain(dir: string): Promise<unknown> {
  return Hog.start(dir).then(async hog => {
    await hog.fill(32 * MiB).catch(() => {})
    await hog.end()
  })
}

/** The first event; the group is put under pressure until it comes. */
export async function underPressure<T>(
  events: AsyncIterator<T>,
  dir: string,
): Promise<T | undefined> {
  let arrived = false
  const first = events.next().then(({ value }) => {
    arrived = true
    return value as T | undefined
  })
  while (!arrived) {
    await strain(dir)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return first
}

export const hasPsi = (() => {
  try {
    const fd = openSync('/proc/pressure/memory', 'r+')
    try {
      writeSync(fd, 'some 1000000 2000000\0')
      return true
    } finally {
      closeSync(fd)
    }
  } catch {
    return false
  }
})()

/** The file with the stalls that a group is notified of. */
export const stalls = (dir: string): string =>
  version === 1 ? '/proc/pressure/memory' : `${dir}/memory.pressure`
