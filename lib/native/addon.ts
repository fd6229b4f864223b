// The addon for those that cannot go on without it; load.ts finds it.
import { OomError } from '../base/errors.js'
import type { Binding } from './binding.js'
import type { ConstantsBinding } from './constants.js'
import { tryAddon, tryBinding } from './load.js'

function orThrow(found: Binding | Error): Binding {
  if (!(found instanceof Error)) return found
  const text = `cgroup-oom does not work here: ${found.message}`
  throw new OomError('ERR_CGROUP_UNSUPPORTED', text, { cause: found })
}

/** The addon, or a throw of ERR_CGROUP_UNSUPPORTED. */
export function binding(): Binding {
  return orThrow(tryBinding())
}

/** The addon's constants, also where there is nothing but the simulation. */
export function addonConstants(): ConstantsBinding['constants'] {
  return orThrow(tryAddon()).constants
}
