// The option `policy` of guard() and run(): steps that are tried one after the other, made into a native plan. Pure.
//
// A raise is the one step that a plan does not have, since headroom is lowered again when the episode ends. The
// program's own thread raises (guard.ts), and the plan comes RAISE_MS later, or after half of the delay if that is less:
// so that a program that does not get to it is not waited for.
import type { Fallback, PlanStep, PolicyStep } from '../../types/guard.js'
import {
  integer,
  invalidType,
  invalidValue,
  oneOf,
  outOfRange,
  signalNumber,
  list,
} from '../base/args.js'
import { bytes, optionalBytes } from '../base/bytes.js'

// What a raise is given before the next step follows.
const RAISE_MS = 500
// What a kill is given to free memory before the next step follows.
const KILL_MS = 200

const KILLS = ['kill-largest', 'kill-newest', 'kill-group'] as const

export interface CompiledPolicy {
  /** In the order of the steps. */
  plan: PlanStep[]
  /** By how many bytes the limit is raised in a group's first episode, its second … */
  raises: number[]
  /** How long after an episode's start a raise may come: then the next step follows. */
  raiseWithinMs: number
  /** Where no other is given: the last step, if that kills. */
  fallback: Fallback | undefined
}

function sizeOf(name: string, value: unknown): number {
  const size = bytes(name, value)
  if (size === 0) throw outOfRange(name, '> 0', size)
  return size
}

export function compilePolicy(policy: unknown, delayMs: number): CompiledPolicy {
  const steps = list('options.policy', policy) as PolicyStep[]
  const raises: number[] = []
  const plan: PlanStep[] = []
  let at = 0
  steps.forEach((step, i) => {
    const name = `options.policy[${i}]`
    const due = (): number => {
      if (at < delayMs) return at
      throw outOfRange(`${name}, after what comes before it,`, `< delayMs (${delayMs})`, at)
    }
    if (typeof step === 'string') {
      const action = oneOf(name, step, KILLS)
      plan.push({ afterMs: due(), action })
      at = Math.min(at + KILL_MS, delayMs - 1)
    } else if (typeof step !== 'object' || step === null) {
      throw invalidType(name, 'of type object or string', step)
    } else if ('raise' in step) {
      if (plan.length > 0) throw invalidValue(name, 'must come before all steps but raises', step)
      raises.push(sizeOf(`${name}.raise`, step.raise))
      at = Math.min(RAISE_MS, Math.floor(delayMs / 2))
    } else {
      signalNumber(`${name}.signal`, step.signal)
      const afterMs = due()
      const headroom = optionalBytes(`${name}.headroom`, step.headroom)
      if (headroom !== undefined) {
        plan.push({ afterMs, action: 'headroom', bytes: sizeOf(`${name}.headroom`, headroom) })
      }
      plan.push({ afterMs, action: 'signal', signal: step.signal })
      at +=
        step.waitMs === undefined
          ? Math.floor((delayMs - at) / 2)
          : integer(`${name}.waitMs`, step.waitMs, 0, 2 ** 31 - 1)
    }
  })
  const last = steps.at(-1)
  return {
    plan,
    raises,
    raiseWithinMs: plan[0]?.afterMs ?? delayMs,
    fallback: typeof last === 'string' ? last : undefined,
  }
}
