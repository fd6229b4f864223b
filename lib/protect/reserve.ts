// MemoryReserve: memory set aside in advance, to be freed when it is needed. Runs on the
// caller's thread; a guard's own ballast is the same native object, released without JavaScript.
import type { Bytes } from '../../types/common.js'
import { outOfRange } from '../base/args.js'
import { bytes as sizeOf } from '../base/bytes.js'
import { fromNative, OomError } from '../base/errors.js'
import { binding } from '../native/addon.js'
import type { NativeBallast } from '../native/ballast.js'
import { memlockError } from './memlock.js'

/**
 * Resident, locked memory of this process, charged to its group, that is there to be freed: releasing it
 * makes room in the group at once, without the help of another process.
 */
export class MemoryReserve {
  /** The requested bytes, rounded up to whole pages. */
  readonly bytes: number
  #ballast: NativeBallast | undefined

  /**
   * @param bytes 1 or more; all of it is resident when the constructor returns.
   * @throws OomError `ERR_MEMLOCK_LIMIT`: more than RLIMIT_MEMLOCK allows; nothing is allocated.
   * `ENOMEM`: the group or the machine has not got it.
   */
  constructor(bytes: Bytes) {
    const size = sizeOf('bytes', bytes)
    if (size < 1) throw outOfRange('bytes', '>= 1', bytes)
    const native = binding()
    try {
      this.#ballast = new native.Ballast(size)
    } catch (error) {
      throw memlockError(error, 'the reserve', size)
    }
    this.bytes = this.#ballast.size
  }

  #open(): NativeBallast {
    if (!this.#ballast) throw new OomError('ERR_CLOSED', 'the MemoryReserve is closed')
    return this.#ballast
  }

  /**
   * Frees the pages and uncharges them from the group: madvise(2) with MADV_DONTNEED_LOCKED. Returns the
   * number of bytes; 0 when the reserve has been released before.
   */
  release(): number {
    try {
      return this.#open().release()
    } catch (error) {
      throw fromNative(error)
    }
  }

  /**
   * Makes all of it resident again; nothing to do if it is. All or nothing: throws `ENOMEM` in a
   * group that has no room for it. Wait for room rather than try: where the kernel's killer is
   * enabled, the attempt may make it kill, as any allocation does; where it is disabled, other
   * threads of this process may have to wait until the attempt has failed.
   */
  refill(): void {
    const ballast = this.#open()
    try {
      ballast.refill()
    } catch (error) {
      throw memlockError(error, 'the reserve', this.bytes)
    }
  }

  /** Frees everything for good. Closing twice is fine; other methods then throw `ERR_CLOSED`. */
  close(): void {
    this.#ballast?.close()
    this.#ballast = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
