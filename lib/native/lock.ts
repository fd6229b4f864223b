// lockMemory, mlockall and munlockall: native/binding/lock.cc. A refusal by the limit is a failure
// whose file is 'RLIMIT_MEMLOCK'; lib/protect/memlock.ts explains it.

/** 0: the OOM path; 1: the process. */
export type NativeScope = 0 | 1

export interface MemlockNumbers {
  /** Bytes; -1: no limit. */
  limit: number
  locked: number
  virtualSize: number
}

export interface LockBinding {
  /** Locks, or counts one more holder; the bytes that the scope covers. */
  lockScope(scope: NativeScope): number
  unlockScope(scope: NativeScope): void
  scopeBytes(scope: NativeScope): number
  /** 0, or the negative errno for locking so many bytes more. */
  mayLock(bytes: number): number
  mlockall(flags: number): void
  munlockall(): void
  memlockNumbers(): MemlockNumbers
}
