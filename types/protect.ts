/** What `lockMemory` holds. */
export interface MemoryLock extends Disposable {
  /** Bytes locked. */
  readonly bytes: number
  readonly scope: LockScope
  /** Unlocks; returns at once when done before. */
  release(): void
}

/**
 * `'oom-path'`: what the sentinel touches and nothing else; fits the default 8 MiB RLIMIT_MEMLOCK.
 * `'process'`: the whole process as far as Node.js survives it.
 */
export type LockScope = 'oom-path' | 'process'

export interface LockMemoryOptions {
  /** Default `'oom-path'`. */
  scope?: LockScope | undefined
}

export interface ProtectOptions {
  /** -1000 to 1000; proc_pid_oom_score_adj(5). Default -1000; lowering it needs CAP_SYS_RESOURCE. */
  oomScoreAdj?: number | undefined
}
