// The options of guard(): every rule of them, checked before anything is touched, and the plain values
// that the native side takes. Used by the real guard and by the simulated one.
import type { GuardOptions, MemoryGroup } from '../../types/group.js'
import type { EpisodeReason, Fallback, Outcome, PlanAction, PlanStep } from '../../types/guard.js'
import {
  abortSignal,
  boolean,
  filePath,
  integer,
  invalidType,
  invalidValue,
  oneOf,
  options as objectOf,
  outOfRange,
  processId,
  signalNumber,
  list,
  noTypos,
} from '../base/args.js'
import { GROUP, hasBrand } from '../base/brand.js'
import { bytes, optionalBytes } from '../base/bytes.js'
import { addonConstants } from '../native/addon.js'
import type { NativeGuardOptions, NativeStep } from '../native/guards.js'
import type { NativeOutcome } from '../native/records.js'
import { compilePolicy } from './policy.js'

/** The longest delay, milliseconds: as the control file that this follows had it. */
export const MAX_DELAY_MS = 2 ** 31 - 1
const DEFAULT_GRACE_MS = 100
const MIN_GRACE_MS = 10
const MAX_GRACE_MS = 60_000
const MIN_WINDOW_MS = 500
const MAX_WINDOW_MS = 60_000

export const FALLBACKS: readonly Fallback[] = [
  'kernel',
  'kill-largest',
  'kill-newest',
  'kill-group',
]
export const ACTIONS: readonly PlanAction[] = [
  'headroom',
  'ballast',
  'reclaim',
  'signal',
  'kill-largest',
  'kill-newest',
  'kill-group',
  'kernel',
  'freeze',
]
export const REASONS: readonly EpisodeReason[] = ['oom', 'thrash']
export const HOLDS = ['kernel', 'signals', 'auto'] as const
export const WHO = ['children', 'members'] as const
export const FREEZES = ['if-needed', 'always', 'never'] as const
/** What the episode machine knows. */
export const NATIVE_OUTCOMES: readonly NativeOutcome[] = [
  'recovered',
  'limit-raised',
  'killed',
  'plan',
  'fallback',
  'guardian',
  'removed',
  'cancelled',
]
export const OUTCOMES: readonly Outcome[] = [...NATIVE_OUTCOMES, 'signalled']

export interface CheckedGuardOptions extends Omit<
  NativeGuardOptions,
  'graceMs' | 'place' | 'hold' | 'fallback'
> {
  /** undefined: the default of what holds the group. */
  fallback: Fallback | undefined
  hold: Omit<NativeGuardOptions['hold'], 'by'> & { by: (typeof HOLDS)[number] }
  /** undefined: none. */
  guardian: { graceMs: number; group?: MemoryGroup } | undefined
  /** Absolute; undefined: none. */
  record: string | undefined
  signal: AbortSignal | undefined
  /** Of a policy, bytes. */
  raises: number[]
  raiseWithinMs: number
}

export type ArmedGuardOptions = Omit<CheckedGuardOptions, 'fallback' | 'hold'> &
  Pick<NativeGuardOptions, 'fallback' | 'hold'>

function nonEmpty(name: string, size: number): number {
  if (size === 0) throw outOfRange(name, '> 0', size)
  return size
}

function checkStep(step: PlanStep, i: number, delayMs: number, headroom: number): NativeStep {
  const name = `options.plan[${i}]`
  if (typeof step !== 'object' || step === null) throw invalidType(name, 'of type object', step)
  const action = oneOf(`${name}.action`, step.action, ACTIONS)
  const afterMs = integer(`${name}.afterMs`, step.afterMs, 0, MAX_DELAY_MS)
  if (afterMs >= delayMs) throw outOfRange(`${name}.afterMs`, `< delayMs (${delayMs})`, afterMs)
  const native: NativeStep = { action, afterMs, bytes: 0, signal: 0, target: 'all' }
  if (step.action === 'headroom') {
    const size = optionalBytes(`${name}.bytes`, step.bytes)
    if (size === undefined && headroom === 0) {
      throw invalidValue(`${name}.bytes`, "is needed, or 'options.reserve.headroom'", step.bytes)
    }
    native.bytes = nonEmpty(`${name}.bytes`, size ?? headroom)
  } else if (step.action === 'signal') {
    native.signal = signalNumber(`${name}.signal`, step.signal)
    if (typeof step.to === 'number') {
      native.target = processId(`${name}.to`, step.to)
    } else {
      native.target = oneOf(`${name}.to`, step.to, ['all', 'largest'] as const, 'all')
    }
  }
  return native
}

function checkPlan(plan: unknown, delayMs: number, headroom: number): NativeStep[] {
  if (plan === undefined) return []
  const given = list('options.plan', plan)
  const { maxPlan } = addonConstants()
  if (given.length > maxPlan) throw outOfRange('options.plan.length', `<= ${maxPlan}`, given.length)
  const steps = given.map((step, i) => checkStep(step as PlanStep, i, delayMs, headroom))
  // Stable: steps of one time run in the order in which they were given.
  return steps.sort((a, b) => a.afterMs - b.afterMs)
}

function checkGuardian(guardian: GuardOptions['guardian']): CheckedGuardOptions['guardian'] {
  if (guardian === undefined || guardian === true) return { graceMs: DEFAULT_GRACE_MS }
  if (guardian === false) return undefined
  if (typeof guardian !== 'object' || guardian === null) {
    throw invalidType('options.guardian', 'of type boolean or object', guardian)
  }
  const { graceMs = DEFAULT_GRACE_MS, group } = guardian
  integer('options.guardian.graceMs', graceMs, MIN_GRACE_MS, MAX_GRACE_MS)
  if (group === undefined) return { graceMs }
  if (!hasBrand(group, GROUP)) {
    throw invalidType('options.guardian.group', 'an instance of MemoryGroup', group)
  }
  return { graceMs, group }
}

function checkHold(hold: GuardOptions['hold']): CheckedGuardOptions['hold'] {
  const given = objectOf('options.hold', hold)
  noTypos('options.hold', given, ['by', 'band', 'who', 'freeze'])
  const { by, band, who, freeze } = given
  return {
    by: oneOf('options.hold.by', by, HOLDS, 'kernel'),
    who: oneOf('options.hold.who', who, WHO, 'children'),
    band: band === undefined ? 0 : nonEmpty('options.hold.band', bytes('options.hold.band', band)),
    freeze: oneOf('options.hold.freeze', freeze, FREEZES, 'if-needed'),
  }
}

function checkThrash(thrash: GuardOptions['thrash']): NativeGuardOptions['thrash'] {
  if (thrash === undefined) return { stallMs: 0, windowMs: MIN_WINDOW_MS }
  const { stallMs, windowMs } = objectOf('options.thrash', thrash)
  const window = integer('options.thrash.windowMs', windowMs, MIN_WINDOW_MS, MAX_WINDOW_MS)
  return { stallMs: integer('options.thrash.stallMs', stallMs, 1, window), windowMs: window }
}

export type HeldBy = NativeGuardOptions['hold']['by']

/** What a guard is armed with once it is known what holds the group. */
export function heldBy(
  { fallback, hold, ...rest }: CheckedGuardOptions,
  by: HeldBy,
): ArmedGuardOptions {
  return {
    ...rest,
    // By signals the kernel decides at the limit only, which a group need not reach.
    fallback: fallback ?? (by === 'signals' ? 'kill-largest' : 'kernel'),
    hold: { ...hold, by },
  }
}

/** A delay given later on: to setDelay(). */
export function checkDelay(name: string, ms: unknown, maxDelayMs: number): number {
  return integer(name, ms, 0, maxDelayMs)
}

// Typed, so that none is forgotten.
const KEYS = Object.keys({
  delayMs: true,
  maxDelayMs: true,
  fallback: true,
  plan: true,
  policy: true,
  reserve: true,
  thrash: true,
  guardian: true,
  descendants: true,
  dryRun: true,
  takeOver: true,
  hold: true,
  record: true,
  signal: true,
} satisfies Record<keyof GuardOptions, true>)

/** @throws TypeError or RangeError; never touches anything */
export function checkGuardOptions(options: GuardOptions): CheckedGuardOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidType('options', 'of type object', options)
  }
  noTypos('options', options, KEYS)
  const delayMs = integer('options.delayMs', options.delayMs, 0, MAX_DELAY_MS)
  const maxDelayMs =
    options.maxDelayMs === undefined
      ? Math.min(10 * delayMs, MAX_DELAY_MS)
      : integer('options.maxDelayMs', options.maxDelayMs, delayMs, MAX_DELAY_MS)
  const reserve = objectOf('options.reserve', options.reserve)
  const headroom = optionalBytes('options.reserve.headroom', reserve.headroom) ?? 0
  const ballast =
    reserve.ballast === undefined
      ? 0
      : nonEmpty('options.reserve.ballast', bytes('options.reserve.ballast', reserve.ballast))
  const policy = options.policy === undefined ? undefined : compilePolicy(options.policy, delayMs)
  if (policy !== undefined && options.plan !== undefined) {
    throw invalidValue('options.plan', "must not be given with 'options.policy'", options.plan)
  }
  const plan = checkPlan(policy?.plan ?? options.plan, delayMs, headroom)
  if (ballast === 0 && plan.some(step => step.action === 'ballast')) {
    throw invalidValue('options.reserve.ballast', "is needed by a 'ballast' step", undefined)
  }
  const dryRun = boolean('options.dryRun', options.dryRun, false)
  return {
    delayMs,
    maxDelayMs,
    fallback:
      options.fallback === undefined
        ? policy?.fallback
        : oneOf('options.fallback', options.fallback, FALLBACKS),
    plan,
    ballast,
    thrash: checkThrash(options.thrash),
    guardian: checkGuardian(options.guardian),
    guardDescendants:
      oneOf('options.descendants', options.descendants, ['guard', 'kernel'] as const, 'guard') ===
      'guard',
    dryRun,
    raises: dryRun ? [] : (policy?.raises ?? []),
    raiseWithinMs: policy?.raiseWithinMs ?? 0,
    takeOver: boolean('options.takeOver', options.takeOver, false),
    hold: checkHold(options.hold),
    record: options.record === undefined ? undefined : filePath('options.record', options.record),
    signal: abortSignal('options.signal', options.signal),
  }
}
