// mlockall(2) and munlockall(2), as they are. lockMemory() is what is safe with Node.js.
import { integer, invalidValue } from '../base/args.js'
import { fromNative } from '../base/errors.js'
import { binding } from '../native/addon.js'
import { memlockError } from '../protect/memlock.js'

/** Lock what is mapped now, and make it resident. */
export const MCL_CURRENT = 1
/** Lock what is mapped later. */
export const MCL_FUTURE = 2
/** With one of the others: lock pages when they are first touched instead of making them resident. */
export const MCL_ONFAULT = 4

/**
 * Locks the whole address space: mlockall(2).
 *
 * **It makes Node.js abort**, and nothing done here can prevent that in every case: V8 gives memory
 * back with madvise(MADV_DONTNEED) and aborts (SIGTRAP) when that fails, as it does on locked pages.
 * Measured on Node.js 20 to 26: with `MCL_FUTURE` when any worker ends; with `MCL_CURRENT` in ordinary
 * garbage collection on 24 and 26. At a natural end of the process (or of the worker that called
 * this) everything is unlocked first, so that one ends well. Use `lockMemory({ scope: 'process' })`.
 *
 * @param flags `MCL_CURRENT`, `MCL_FUTURE` or both, with `MCL_ONFAULT` or without.
 * @throws OomError `ERR_MEMLOCK_LIMIT`, before anything is locked: RLIMIT_MEMLOCK is below the virtual
 * size of the process (`MCL_CURRENT`), or there is one at all (`MCL_FUTURE`: the kernel would let it
 * pass, and the next allocation would be fatal).
 */
export function mlockall(flags: number): void {
  integer('flags', flags, 1, 7)
  if (flags === MCL_ONFAULT) {
    throw invalidValue('flags', 'must have MCL_CURRENT or MCL_FUTURE with MCL_ONFAULT', flags)
  }
  const native = binding()
  try {
    native.mlockall(flags)
  } catch (error) {
    const { virtualSize } = native.memlockNumbers()
    throw memlockError(
      error,
      flags & MCL_FUTURE ? 'mlockall, for this and all later memory,' : 'mlockall',
      virtualSize,
    )
  }
}

/** Unlocks it: munlockall(2). What `lockMemory` and `MemoryReserve` hold stays locked. */
export function munlockall(): void {
  try {
    binding().munlockall()
  } catch (error) {
    throw fromNative(error)
  }
}
