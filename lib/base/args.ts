// Checks of arguments, each thrown before anything has been touched, with Node's own codes.
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { inspect } from 'node:util'
import { nearest } from './nearest.js'

function describe(value: unknown): string {
  if (typeof value === 'string') return `type string ('${value.slice(0, 28)}')`
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'object') return `an instance of ${value.constructor?.name ?? 'Object'}`
  if (typeof value === 'function') return `function ${value.name}`
  return `type ${typeof value} (${inspect(value)})`
}

export function invalidType(name: string, expected: string, value: unknown): TypeError {
  return Object.assign(
    new TypeError(`The "${name}" argument must be ${expected}. Received ${describe(value)}`),
    { code: 'ERR_INVALID_ARG_TYPE' },
  )
}

export function invalidValue(name: string, reason: string, value: unknown): TypeError {
  return Object.assign(
    new TypeError(`The "${name}" argument ${reason}. Received ${describe(value)}`),
    { code: 'ERR_INVALID_ARG_VALUE' },
  )
}

export function outOfRange(name: string, range: string, value: unknown): RangeError {
  return Object.assign(
    new RangeError(
      `The value of "${name}" is out of range. It must be ${range}. Received ${String(value)}`,
    ),
    { code: 'ERR_OUT_OF_RANGE' },
  )
}

/** `new` of a class that is made by other means. */
export function illegalConstructor(use: string): TypeError {
  return Object.assign(new TypeError(`Illegal constructor: use ${use}`), {
    code: 'ERR_ILLEGAL_CONSTRUCTOR',
  })
}

/** An integer within [min, max]. */
export function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value)
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value)
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value)
  return value
}

/** A process id: from 1 to the kernel's largest (PID_MAX_LIMIT). */
export function processId(name: string, value: unknown): number {
  return integer(name, value, 1, 2 ** 22)
}

/** A boolean, or the default for undefined. */
export function boolean(name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise
  if (typeof value !== 'boolean') throw invalidType(name, 'of type boolean', value)
  return value
}

/** An object of options; undefined gives an empty one. */
export function options<T extends object>(name: string, value: T | undefined): Partial<T> {
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value)
  }
  return value
}

/**
 * A key that is almost one of those that are known would be passed over without a word: a guard without the fallback
 * that was meant. Others are the caller's own.
 */
export function noTypos(name: string, value: object, keys: readonly string[]): void {
  for (const key of Object.keys(value)) {
    const word = keys.includes(key) ? undefined : nearest(key, keys)
    if (word !== undefined) {
      throw invalidValue(`${name}.${key}`, `is not known: did you mean '${word}'?`, get(value, key))
    }
  }
}

/** Of MemoryGroupInit. */
export const LIMITS = ['max', 'high', 'swap', 'swapMax', 'oomGroup']

const get = (value: object, key: string): unknown => (value as Record<string, unknown>)[key]

/** An array, as one of its own that has no holes. */
export function list(name: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) throw invalidType(name, 'an instance of Array', value)
  return Array.from({ length: value.length }, (_, i): unknown => value[i])
}

/** The number of a signal that this platform has: ERR_UNKNOWN_SIGNAL, as from process.kill(). */
export function signalNumber(name: string, value: unknown): number {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value)
  if (!Object.hasOwn(constants.signals, value)) {
    throw Object.assign(new TypeError(`Unknown signal: ${value}`), { code: 'ERR_UNKNOWN_SIGNAL' })
  }
  return constants.signals[value as NodeJS.Signals]
}

/** A path without NUL and without ".." components, which would lead out of where it begins. */
export function groupPath(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value)
  if (value === '') throw invalidValue(name, 'must not be empty', value)
  if (value.includes('\0')) throw invalidValue(name, 'must not contain null bytes', value)
  if (value.split('/').includes('..')) throw invalidValue(name, "must not contain '..'", value)
  return value
}

/** The absolute path of a file. */
export function filePath(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value)
  if (value === '') throw invalidValue(name, 'must not be empty', value)
  if (value.includes('\0')) throw invalidValue(name, 'must not contain null bytes', value)
  return resolve(value)
}

/** The name of a directory, without a way to another one. */
export function groupName(name: string, value: unknown): string {
  const checked = groupPath(name, value)
  if (checked.includes('/')) throw invalidValue(name, "must not contain '/'", value)
  if (checked === '.') throw invalidValue(name, "must not be '.'", value)
  return checked
}

/** An AbortSignal, or undefined. */
export function abortSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined
  if (!(value instanceof AbortSignal)) {
    throw invalidType(name, 'an instance of AbortSignal', value)
  }
  return value
}

/** One of a set of words, or the default for undefined. */
export function oneOf<T extends string>(
  name: string,
  value: unknown,
  words: readonly T[],
  otherwise?: T,
): T {
  if (value === undefined && otherwise !== undefined) return otherwise
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value)
  if (!(words as readonly string[]).includes(value)) {
    throw invalidValue(name, `must be one of: ${words.map(w => `'${w}'`).join(', ')}`, value)
  }
  return value as T
}
