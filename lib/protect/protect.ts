// protect(): keeps the kernel from choosing this process. proc_pid_oom_score_adj(5). The score is
// that of the process, also when several workers or copies of this module set it:
// native/core/sys/own_oom_score.h.
import type { ProtectOptions } from '../../types/protect.js'
import { integer, options as checkOptions } from '../base/args.js'
import { fromNative } from '../base/errors.js'
import { binding } from '../native/addon.js'

function translated<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fromNative(error)
  }
}

/**
 * Sets this process's `oom_score_adj`, from -1000 (default: never chosen by a kernel killer) to 1000
 * (first choice). Resolves with a function that restores what was found; where `protect` has been
 * called several times, the last one not yet undone counts.
 *
 * A child of this library's `spawn()` starts with what the process had before. Other processes
 * started meanwhile inherit the value: do not let jobs inherit -1000, since no killer, the library's
 * own included, would take them.
 *
 * Rejects with OomError `EACCES` where the value may not be lowered (it needs CAP_SYS_RESOURCE).
 */
export async function protect(options?: ProtectOptions): Promise<() => Promise<void>> {
  const { oomScoreAdj = -1000 } = checkOptions('options', options)
  const value = integer('options.oomScoreAdj', oomScoreAdj, -1000, 1000)
  const native = binding()
  const id = translated(() => native.setScore(value))
  return async () => translated(() => native.undoScore(id))
}
