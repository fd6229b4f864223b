// lockMemory, mlockall and munlockall: native/binding/lock.cc. A refusal by the limit is a failure
// whose file is 'RLIMIT_MEMLOCK'; lib/protect/memlock.ts explains it.
import type { LockScope } from '../../types/protect.js'

export interface MemlockNumbers {
  /** Bytes; -1: no limit. */
  limit: number
  locked: number
  virtualSize: number
}

export interface LockBinding {
  /** Locks, or counts one more holder; the bytes that the scope covers. */
  lockScope(scope: LockScope): number
  unlockScope(scope: LockScope): void
  scopeBytes(scope: LockScope): number
  /** 0, or the negative errno of locking that many more bytes. */
  mayLock(bytes: number): number
  mlockall(flags: number): void
  munlockall(): void
  memlockNumbers(): MemlockNumbers
}
