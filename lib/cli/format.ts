// Times and names, as the commands print them. Pure, but for the clock.
import { constants } from 'node:os'

export { count, duration, size } from '../base/format.js'

/** The wall-clock time of a point on CLOCK_MONOTONIC, ISO 8601 in UTC. */
export function wallClock(at: bigint): string {
  const agoMs = Number(process.hrtime.bigint() - at) / 1e6
  return new Date(Date.now() - agoMs).toISOString()
}

// Control characters, and those that change the direction of a line.
const UNSHOWN = /[\p{Cc}\p{Bidi_Control}]/gu
const escaped = (char: string): string => {
  const code = char.codePointAt(0)!
  return code < 256
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}

/** A path that is safe for a terminal: the user who makes a group chooses its name. */
export function shown(path: string): string {
  return path.replaceAll(UNSHOWN, escaped)
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
