// The error for a lock that RLIMIT_MEMLOCK does not allow: how much was to be locked, what is allowed, and
// what to do about it. It comes before anything is locked.
import { OWN } from '../base/error-table.js'
import { fromNative, OomError, type NativeFailure } from '../base/errors.js'
import { binding } from '../native/addon.js'

// What the first guard of a process locks, in any hold: the images of the OOM path, its threads' stacks and their
// notes. Measured: 5.9 MiB by the kernel, 6.2 by signals.
export const FIRST_GUARD = 6.5 * 2 ** 20
// A further one, with what its groups share.
const FURTHER_GUARD = 2 ** 18

/** What a guard that cannot be armed would have locked. */
export function guardBytes(ballast: number): number {
  return (binding().memlockNumbers().locked > 0 ? FURTHER_GUARD : FIRST_GUARD) + ballast
}

const mib = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`

/** Why RLIMIT_MEMLOCK forbids to lock `bytes` more, and the remedy; `what` begins the sentence. */
export function memlockReason(what: string, bytes: number): { reason: string; remedy: string } {
  const { limit, locked } = binding().memlockNumbers()
  return {
    reason: `${what} needs ${mib(bytes)} of locked memory; ${
      limit < 0 ? 'the kernel refuses it' : `RLIMIT_MEMLOCK allows ${mib(limit)}`
    }${locked > 0 ? `, of which ${mib(locked)} are in use` : ''}`,
    remedy: OWN['ERR_MEMLOCK_LIMIT']!.remedy!,
  }
}

/** A native failure of locking as the error to throw: ERR_MEMLOCK_LIMIT where that is the reason. */
export function memlockError(error: unknown, what: string, bytes: number): unknown {
  const { errno, syscall, file } = error as NativeFailure
  if (file !== 'RLIMIT_MEMLOCK') return fromNative(error)
  const { reason, remedy } = memlockReason(what, bytes)
  return new OomError('ERR_MEMLOCK_LIMIT', `${reason}: ${remedy}`, { errno, syscall })
}
