// The oom_score_adj that a child starts with: proc_pid_oom_score_adj(5).
import { fromNative } from '../base/errors.js'
import { binding } from '../native/addon.js'

/**
 * The checked value that was given, or what this process had before protect(); undefined: as inherited.
 * Throws OomError EACCES for what takes CAP_SYS_RESOURCE; nothing has been started then.
 */
export function startingScore(given: number | undefined): number | undefined {
  if (given === undefined) return binding().scoreBefore()
  try {
    binding().mayStartWith(given)
  } catch (error) {
    throw fromNative(error)
  }
  return given
}
