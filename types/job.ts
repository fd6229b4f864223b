// run(): one call for a job, and what it gives.
import type { SpawnOptions } from 'node:child_process'
import type { Bytes } from './common.js'
import type { ExitReport } from './exit.js'
import type { MemoryGroup } from './group.js'
import type { PolicyStep } from './guard.js'

export interface RunOptions extends Omit<SpawnOptions, 'timeout'> {
  /**
   * The job's limit, bytes. Default `'max'`. If no group can be made for it, the job runs without a limit; the first
   * such job is a process warning (`OOM_JOB_UNLIMITED`).
   */
  max?: Bytes | undefined
  /** False: the job does not swap, where swap is accounted. Default true. */
  swap?: boolean | undefined
  /**
   * The group below which the job's own is made; `run()` rejects if that fails. Default: that of `MemoryGroup.home()`;
   * if no group can be made there, the job has no limit of its own ({@link JobReport.ownGroup}), and with `policy` or
   * `delayMs` the group that this process is in is guarded by signals, as long as such jobs run.
   */
  parent?: MemoryGroup | undefined
  /**
   * Milliseconds after which the job is ended with all that it has started: `killSignal` (SIGTERM), SIGKILL 2 s later.
   * Integer, 1 to 2**31 - 1. Default: none.
   */
  timeoutMs?: number | undefined
  /** What is done when it is out of memory, as of `guard()`. Default: nothing, the kernel kills. */
  policy?: readonly PolicyStep[] | undefined
  /** Of the guard, milliseconds; integer, 0 to 2**31 - 1. Default 5000 with a `policy`, else 0: no guard. */
  delayMs?: number | undefined
  /**
   * The last so many bytes of stdout and of stderr are in the report. Default 1 MiB; false: both are inherited.
   * A `stdio` that is given decides which of them are pipes.
   */
  capture?: Bytes | false | undefined
  /** Aborting it ends the job as `timeoutMs` does; `run()` rejects with an `AbortError` then. */
  signal?: AbortSignal | undefined
}

export interface TimelineEntry {
  /** Milliseconds from the start of the job. */
  atMs: number
  /**
   * `'started'`, `'ended'`: the command. `'out-of-memory'`: the kernel reported an OOM to the job's own group;
   * `'killed'`: it killed there. `'episode'`, `'episode-end'`: of the guard. `'timeout'`: `timeoutMs` are over.
   */
  event: 'started' | 'out-of-memory' | 'killed' | 'episode' | 'episode-end' | 'timeout' | 'ended'
  /** A sentence without its full stop. */
  text: string
}

export interface JobReport extends ExitReport {
  /** The last {@link RunOptions.capture} bytes, as UTF-8; absent where it is not captured. */
  stdout?: string
  /** As {@link stdout}. */
  stderr?: string
  /** Milliseconds from the start to the end of the command. */
  durationMs: number
  /** What happened, in order of time. */
  timeline: readonly TimelineEntry[]
  /** `timeoutMs` were over before the command had ended. */
  timedOut: boolean
  /**
   * Whether the job had a group of its own. False where none can be made: the job has run without a limit of its own
   * then, whatever `max` was; the first entry of the timeline has the reason.
   */
  ownGroup: boolean
}
