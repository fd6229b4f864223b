// Sizes as users write them: numbers, the kernel's notation (memparse() in lib/cmdline.c), 'max'.
// Pure; every call that takes a size goes through here before anything is touched.
import type { Bytes, UsageSize } from '../../types/common.js'
import { invalidType, invalidValue, outOfRange } from './args.js'

const SUFFIXES = 'KMGTPE'

// From here on the kernel's page counters mean "no limit" (PAGE_COUNTER_MAX of 4 KiB pages).
const UNLIMITED = 9223372036854771712n

export interface BytesOptions {
  /** Whether `'max'` and `Infinity` are allowed. Default false. */
  max?: boolean
}

/**
 * A size as a number of bytes; `Infinity` for no limit. Throws ERR_INVALID_ARG_TYPE,
 * ERR_INVALID_ARG_VALUE (a string that is no size) or ERR_OUT_OF_RANGE.
 */
export function bytes(name: string, value: unknown, options: BytesOptions = {}): number {
  const max = options.max === true
  const size = typeof value === 'string' ? parse(name, value) : value
  if (typeof size !== 'number') throw invalidType(name, 'of type number or string', value)
  if (size === Infinity && max) return size
  if (!Number.isInteger(size)) throw outOfRange(name, 'an integer', value)
  if (size < 0 || (typeof value === 'number' && !Number.isSafeInteger(size))) {
    throw outOfRange(name, `>= 0 && <= ${Number.MAX_SAFE_INTEGER}`, value)
  }
  return size
}

function parse(name: string, text: string): number {
  if (text === 'max') return Infinity
  const [, digits, suffix = ''] = /^(\d{1,20})([KMGTPE]?)$/i.exec(text) ?? []
  if (digits === undefined) {
    throw invalidValue(
      name,
      "must be decimal digits with an optional suffix K, M, G, T, P or E, or 'max'",
      text,
    )
  }
  if (digits.length > 1 && digits.startsWith('0')) {
    throw invalidValue(name, 'must not begin with 0, which the kernel reads as octal', text)
  }
  const power = suffix === '' ? 0 : SUFFIXES.indexOf(suffix.toUpperCase()) + 1
  const size = BigInt(digits) << BigInt(10 * power)
  if (size >= 1n << 64n) throw outOfRange(name, 'below 2 ** 64', text)
  if (size >= UNLIMITED) return Infinity
  if (BigInt(Number(size)) !== size) {
    throw outOfRange(name, 'exactly representable as a number (use a suffix)', text)
  }
  return Number(size)
}

/** As {@link bytes}, `undefined` staying so. */
export function optionalBytes(
  name: string,
  value: Bytes | undefined,
  options?: BytesOptions,
): number | undefined {
  return value === undefined ? undefined : bytes(name, value, options)
}

/** A threshold of usage: bytes, or millionths of the group's limit where those are not 0. */
export interface UsageThreshold {
  bytes: number
  millionths: number
}

/** A size of usage. Throws as {@link bytes}; ERR_OUT_OF_RANGE for a share that is 0 or more than all. */
export function usageThreshold(name: string, value: UsageSize): UsageThreshold {
  if (typeof value !== 'string' || !value.endsWith('%')) {
    if (typeof value === 'string' && !/^\d+[KMGTPE]?$/i.test(value)) {
      throw invalidValue(name, "must be a size as in '64M', or a share as in '80%'", value)
    }
    return { bytes: bytes(name, value), millionths: 0 }
  }
  const [, whole, decimals = ''] = /^(\d{1,3})(?:\.(\d{1,4}))?%$/.exec(value) ?? []
  if (whole === undefined) {
    throw invalidValue(name, "must be a share as in '80%', with at most four decimals", value)
  }
  const millionths = Number(whole) * 10_000 + Number(decimals.padEnd(4, '0'))
  if (millionths === 0 || millionths > 1_000_000) {
    throw outOfRange(name, "more than '0%' and at most '100%'", value)
  }
  return { bytes: 0, millionths }
}

/** In bytes, as native/core/rules/share.h: of no limit there is no share. */
export function thresholdAt({ bytes, millionths }: UsageThreshold, limit: number): number {
  if (millionths === 0) return bytes
  if (limit === Infinity) return Infinity
  return Number((BigInt(limit) * BigInt(millionths)) / 1_000_000n)
}
