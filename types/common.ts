// Units used everywhere: sizes are bytes, durations are milliseconds, points in time are
// nanoseconds on CLOCK_MONOTONIC, the clock of `process.hrtime.bigint()`.

/**
 * A size in bytes: a non-negative safe integer, a string in the kernel's notation (decimal digits
 * with an optional suffix K, M, G, T, P or E, powers of 1024, as memparse() reads it), or `'max'` /
 * `Infinity` for "no limit" where a limit is meant.
 */
export type Bytes = number | string

/**
 * A size of usage: {@link Bytes}, or a share of the group's limit: more than 0 and at most 100 per cent, with
 * up to four decimals, such as `'80%'` or `'97.5%'`.
 */
export type UsageSize = number | string

/** Nanoseconds on CLOCK_MONOTONIC (clock_gettime(2)), comparable with `process.hrtime.bigint()`. */
export type MonotonicNs = bigint
