// The error for a lock that RLIMIT_MEMLOCK does not allow: how much was to be locked, what is allowed, and
// what to do about it. It comes before anything is locked.
import { OWN } from '../base/error-table.js'
import { fromNative, OomError, type NativeFailure } from '../base/errors.js'
import { binding } from '../native/addon.js'

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
