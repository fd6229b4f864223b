// A budget of memory for jobs that run in parallel: test runners, build tools, queues.
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { Bytes } from './common.js'
import type { ExitReport } from './exit.js'
import type { MemoryGroup } from './group.js'

export interface BudgetOptions {
  /**
   * The group whose memory the jobs share. Where groups can be made below it, each job gets one of its own; else
   * (a read-only cgroup file system, a group with processes of its own on v2) the jobs stay where this process is,
   * and the group is held by signals.
   */
  group: MemoryGroup
  /** The budget, bytes. Default: the group's limit; required where it has none. */
  limit?: Bytes | undefined
  /** Jobs at once, 1 to 4096. Default: `os.availableParallelism()`. */
  most?: number | undefined
  /**
   * How long the newest job may take to yield once the group is out of memory, milliseconds; then the fallback
   * `'kill-newest'` does it. 1 to 2**31 - 1, default 1000.
   */
  delayMs?: number | undefined
}

/**
 * What `child_process.spawn()` takes; `stdio` is `'inherit'` unless given. Where jobs have no group of their own, they
 * run `detached` and with `oomScoreAdj: 500`, whatever is given.
 */
export interface BudgetJobOptions extends Omit<SpawnOptions, 'timeout' | 'signal'> {
  /** What the job is expected to use at its peak, bytes. Default: {@link name}'s largest peak of its last five runs,
   * else the budget divided by `most`. */
  expect?: Bytes | undefined
  /** What its peaks are remembered by. Default: the command and its arguments. */
  name?: string | undefined
  /** Called when it has been started; a second time if it has yielded and is started again. */
  onStart?: ((child: ChildProcess, attempt: number) => void) | undefined
  /** A job that waits is not started any more, one that runs is killed with all that it has started. */
  signal?: AbortSignal | undefined
}

/** How a job ended; it is not a failure of the budget if that is with an error. */
export interface BudgetReport extends ExitReport {
  /** 2: it has yielded, and was run again alone; the report is of the second run. */
  attempts: 1 | 2
}
