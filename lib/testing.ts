// cgroup-oom/testing: groups that are made of numbers, for the tests of programs that use this
// package: on any platform, without privileges, on a virtual clock. The episode machine behind them
// is the one that guards real groups.
import type { SimulatedGroup, SimulateOptions } from '../types/testing.js'
import { OomError } from './base/errors.js'
import { tryAddon } from './native/load.js'
import { SimulatedMemoryGroup } from './simulation/group.js'

export { OomError } from './base/errors.js'
export type * from '../types/testing.js'

/**
 * Makes a simulated group.
 *
 * ```js
 * const sim = simulate({ max: '64M' })
 * const guard = await sim.guard({ delayMs: 500 })
 * sim.allocate('65M')
 * await sim.advance(600)
 * guard.stats.byOutcome.fallback // 1
 * ```
 *
 * @throws ERR_CGROUP_UNSUPPORTED where the package has no native addon
 */
export function simulate(options?: SimulateOptions): SimulatedGroup {
  const addon = tryAddon()
  if (addon instanceof Error) {
    const text = `the simulation needs the native addon: ${addon.message}`
    throw new OomError('ERR_CGROUP_UNSUPPORTED', text, { cause: addon })
  }
  return new SimulatedMemoryGroup(options, addon)
}
