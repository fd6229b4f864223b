// A guard on a scratch group, disposed at the test's end, and its episodes one at a time.
import type { Test } from 'tap'
import type { GuardOptions, OomEpisode, OomGuard } from '../../lib/index.js'
import { openGroup } from './group.js'

export class Guarded {
  readonly #episodes: AsyncIterator<OomEpisode>
  constructor(readonly guard: OomGuard) {
    this.#episodes = guard[Symbol.asyncIterator]()
  }
  async next(): Promise<OomEpisode> {
    const { value, done } = await this.#episodes.next()
    if (done) throw new Error('the guard has ended')
    return value
  }
}

/**
 * Without a guardian by default: on a machine that is busy enough it would act in the place of
 * the sentinel, which is what is tested.
 */
export async function guarded(t: Test, dir: string, options: GuardOptions): Promise<Guarded> {
  const group = await openGroup(t, dir)
  const guard = await group.guard({ guardian: false, ...options })
  t.teardown(() => guard.dispose())
  return new Guarded(guard)
}

/** What was thrown, as a plain object. */
export async function failure(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await promise
  } catch (error) {
    return { ...(error as object), name: (error as Error).name, message: (error as Error).message }
  }
  throw new Error('it did not fail')
}
