// native/binding/constants.cc as TypeScript sees it: the words of the core's enums, which cross the border
// instead of their numbers. test/unit/constants.ts compares them with the public types.
import type { Fallback, HoldOptions, PlanAction } from '../../types/guard.js'
import type { LockScope } from '../../types/protect.js'
import type { OomOrigin } from '../../types/watch.js'
import type { NativeOutcome, NativeRecord } from './records.js'
import type { LaunchStage } from './spawn.js'

export interface ConstantsBinding {
  readonly constants: {
    readonly fallbacks: readonly Fallback[]
    readonly actions: readonly PlanAction[]
    readonly outcomes: readonly NativeOutcome[]
    readonly freezes: readonly NonNullable<HoldOptions['freeze']>[]
    readonly origins: readonly OomOrigin[]
    readonly records: readonly NativeRecord['kind'][]
    readonly scopes: readonly LockScope[]
    readonly stages: readonly LaunchStage[]
    /** The failures that are no failed system calls: native/core/sys/codes.h. */
    readonly codes: readonly string[]
    /** Most steps of a plan. */
    readonly maxPlan: number
  }
}
