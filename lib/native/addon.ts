// The addon for those that cannot go on without it; load.ts finds it.
import { OomError } from '../base/errors.js'
import type { Binding } from './binding.js'
import { tryBinding } from './load.js'

/** The addon, or a throw of ERR_CGROUP_UNSUPPORTED. */
export function binding(): Binding {
  const found = tryBinding()
  if (!(found instanceof Error)) return found
  throw new OomError('ERR_CGROUP_UNSUPPORTED', `cgroup-oom does not work here: ${found.message}`, {
    cause: found,
  })
}
