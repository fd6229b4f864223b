// What exitReport() says about how a child ended.
import type { OomOrigin } from './watch.js'

export interface ExitReport {
  /**
   * Whether memory was the reason: an OOM of the child's group or of one above, or of the machine, ended the child or
   * a process that it has started.
   *
   * `'yes'` and `'no'` are certain. `'likely'`: the facts speak for it, and another reason is possible.
   * `'unknown'`: they speak for nothing, {@link summary} says what is missing.
   */
  oom: 'yes' | 'likely' | 'no' | 'unknown'
  /**
   * Whose limit it was: `'self'` the group's own, `'ancestor'` that of a group above, `'machine'` the memory of the
   * whole machine. Absent unless `oom` is `'yes'` or `'likely'`.
   */
  origin?: OomOrigin | 'machine'
  /**
   * Who killed: the kernel's OOM killer, a guard of this process (its plan, its fallback, its guardian or the program
   * by `episode.kill()`), or another program; this program's own `child.kill()` counts as one (`'other'`). Absent where
   * no process was killed, as far as that is known.
   */
  by?: 'kernel' | 'guard' | 'other'
  /** Of the child, as its `'exit'` event has it; null, too, if it was never started. */
  code: number | null
  /** The signal that ended the child, as its `'exit'` event has it; null if it exited, or was never started. */
  signal: NodeJS.Signals | null
  /** Tasks of the group, and of those below it, that the kernel's OOM killer has killed; at least, if it is gone. */
  kernelKills: number
  /** Processes of the group that guards of this process have killed. */
  killed: number[]
  /** Episodes, of guards of this process, in which the group was out of memory or below one that was. */
  episodes: number
  /** The most that a group of the child's own has ever used, bytes; absent where that cannot be read. */
  peak?: number
  /** The group's own limit, bytes; absent without one. */
  limit?: number
  /** One sentence for a log or a person. */
  summary: string
}
