// lockMemory(): keeps what an OOM is handled with resident. The contract's "Protecting the handler
// itself"; how, and why not mlockall, is in native/core/prepared/mlock.h.
import type { LockMemoryOptions, LockScope, MemoryLock } from '../../types/protect.js'
import { oneOf, options as checkOptions } from '../base/args.js'
import { binding } from '../native/addon.js'
import { memlockError } from './memlock.js'

class Lock implements MemoryLock {
  readonly scope: LockScope
  readonly bytes: number
  #held = true

  constructor(scope: LockScope) {
    const native = binding()
    this.scope = scope
    try {
      this.bytes = native.lockScope(scope)
    } catch (error) {
      throw memlockError(error, `locking '${scope}'`, native.scopeBytes(scope))
    }
  }

  release(): void {
    if (!this.#held) return
    this.#held = false
    binding().unlockScope(this.scope)
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

/**
 * Locks memory of this process, so that touching it never waits for a page: mlock(2). Locks count:
 * the memory is unlocked with the last `release()`, and what a worker has not released is released
 * when it ends. Losing the object does not unlock.
 *
 * - `'oom-path'` (default): this addon, libc, and the sentinel's stack and state: 2 to 4 MiB, within
 *   the default RLIMIT_MEMLOCK of 8 MiB, without privilege.
 * - `'process'`: all program and library code and data, `[heap]` and the main thread's stack as far
 *   as it has grown: about 100 MiB. Not V8's heap: V8 frees pages of it with a madvise(2) that
 *   Linux refuses on locked memory, and aborts (which is why a bare mlockall(2) ends Node.js).
 *
 * @throws OomError `ERR_MEMLOCK_LIMIT`: RLIMIT_MEMLOCK does not allow it; nothing has been locked.
 * `ERR_CGROUP_UNSUPPORTED`: no native addon here.
 */
export function lockMemory(options?: LockMemoryOptions): MemoryLock {
  const { scope } = checkOptions('options', options)
  return new Lock(oneOf('options.scope', scope, ['oom-path', 'process'], 'oom-path'))
}
