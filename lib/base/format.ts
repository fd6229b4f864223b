// Sizes, durations and numbers of things, as reports and commands print them. Pure.

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** '64.0 MiB'; 'no limit' for Infinity. */
export function size(bytes: number): string {
  if (bytes === Infinity) return 'no limit'
  let unit = 0
  let value = bytes
  for (; value >= 1024; unit++) value /= 1024
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`
}

/** '17 µs', '503 ms', '2.5 s' of nanoseconds. */
export function duration(ns: number): string {
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`
  if (ns < 1e9) return `${Math.round(ns / 1e6)} ms`
  return `${(ns / 1e9).toFixed(1)} s`
}

/** '1 process', '2 processes'. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}

// Control characters, and those that change the direction of a line.
const UNSHOWN = /[\p{Cc}\p{Bidi_Control}]/gu
const escaped = (char: string): string => {
  const code = char.codePointAt(0)!
  return code < 256
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}

/** A name that is safe for a terminal: the user who makes a group or a process chooses it. */
export function shown(name: string): string {
  return name.replaceAll(UNSHOWN, escaped)
}
