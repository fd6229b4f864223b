// The sentinel's times are CLOCK_MONOTONIC's, which is process.hrtime.bigint()'s in Node.js. In Bun and Deno that one
// begins with the process: there, times are moved on their way in and out, so that `at` can be compared with it.
import { engine } from '../base/engine.js'
import { binding } from './addon.js'
import type { NativeRecord } from './records.js'

let behind: bigint | undefined

/** What process.hrtime.bigint() is behind CLOCK_MONOTONIC, nanoseconds. */
function lag(): bigint {
  if (engine === 'node') return 0n
  behind ??= binding().monotonicNow() - process.hrtime.bigint()
  return behind
}

export const toMonotonic = (at: bigint): bigint => at + lag()

/** The record with its times on process.hrtime.bigint()'s clock. */
export function onOwnClock(record: NativeRecord): NativeRecord {
  if (engine === 'node') return record
  const moved: Record<string, unknown> = { ...record }
  for (const name of ['at', 'due', 'deadline']) {
    if (typeof moved[name] === 'bigint') moved[name] = moved[name] - lag()
  }
  return moved as unknown as NativeRecord
}
