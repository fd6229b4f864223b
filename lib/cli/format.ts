// Times and names, as the commands print them. Pure, but for the clock.
import { constants } from 'node:os'

import { shown } from '../base/format.js'

export { count, duration, shown, size } from '../base/format.js'

/** A line of messages: names in it may be another user's. */
export function complain(who: string, text: string): void {
  process.stderr.write(`${who}: ${shown(text)}\n`)
}

/** The wall-clock time of a point on CLOCK_MONOTONIC, ISO 8601 in UTC. */
export function wallClock(at: bigint): string {
  const agoMs = Number(process.hrtime.bigint() - at) / 1e6
  return new Date(Date.now() - agoMs).toISOString()
}

/** A word for a shell. */
export function quote(word: string): string {
  if (word !== shown(word)) {
    return `$'${shown(word.replaceAll(/[\\']/g, char => `\\${char}`))}'`
  }
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

/** The exit status that a shell gives for a signal. */
export function statusOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}
