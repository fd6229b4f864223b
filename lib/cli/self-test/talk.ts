// What the process inside the scratch group reports to the one outside, a JSON object a line on stdout,
// and what both must agree on.
import type { Outcome } from '../../../types/guard.js'

export const LIMIT = 128 * 2 ** 20
export const HEADROOM = 32 * 2 ** 20
/** Longer than it takes the outside process to notice that the headroom has not come. */
export const DELAY_MS = 10_000

export interface Failure {
  message: string
  code?: string | undefined
  syscall?: string | undefined
  path?: string | undefined
}

export interface StepDone {
  action: string
  errno: number
  code?: string | undefined
}

export type Word =
  | { event: 'armed'; afterNs: number }
  | { event: 'filling' }
  | {
      event: 'went on'
      usage: number
      limit: number
      outcome: Outcome
      /** From the OOM until JavaScript got the episode. */
      afterNs: number
      steps: StepDone[]
    }
  | { event: 'disposed' }
  | { event: 'failed'; during: string; failure: Failure }

export function failureOf(error: unknown): Failure {
  const { message, code, syscall, path } = error as Failure
  return { message, code, syscall, path }
}

/** The first thing to know about a failure: which call it was. */
export function callOf({ message, code, syscall, path }: Failure): string {
  if (syscall === undefined) return code === undefined ? message : `${code}: ${message}`
  return `${syscall}${path === undefined ? '' : ` ${path}`}: ${code} (${message})`
}
