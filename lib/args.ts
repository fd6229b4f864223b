// Checks of arguments, each thrown before anything has been touched, with Node's own codes.
import { inspect } from 'node:util'

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

/** An integer within [min, max]. */
export function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value)
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value)
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value)
  return value
}

/** An options argument: an object, not an array. */
export function optionsObject<T extends object>(name: string, value: T): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value)
  }
  return value
}
