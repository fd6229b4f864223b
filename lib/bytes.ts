// Sizes, in the kernel's notation or as numbers.
import { invalidType, invalidValue, outOfRange } from './args.js'

const SUFFIXES = 'KMGTPE'

/** A size; `'max'` and Infinity are Infinity. A TypeError or RangeError for anything else. */
export function parseBytes(name: string, value: unknown): number {
  if (value === 'max' || value === Infinity) return Infinity
  let bytes: number
  if (typeof value === 'string') {
    const match = /^(\d+)([KMGTPE])?$/i.exec(value)
    if (!match) {
      throw invalidValue(name, 'must be decimal digits with an optional K, M, G, T, P or E', value)
    }
    const power = match[2] === undefined ? 0 : SUFFIXES.indexOf(match[2].toUpperCase()) + 1
    bytes = Number(match[1]) * 1024 ** power
  } else if (typeof value === 'number') {
    bytes = value
  } else {
    throw invalidType(name, 'of type number or string', value)
  }
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw outOfRange(name, `an integer >= 0 && <= ${Number.MAX_SAFE_INTEGER}`, value)
  }
  return bytes
}

/** A size that has an end: at least `min`, not `'max'`. */
export function sizeInBytes(name: string, value: unknown, min = 0): number {
  const bytes = parseBytes(name, value)
  if (bytes < min || bytes === Infinity) {
    throw outOfRange(name, `>= ${min} && <= ${Number.MAX_SAFE_INTEGER}`, value)
  }
  return bytes
}
