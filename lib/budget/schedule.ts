// Which job of a budget starts, and which one yields: pure rules over numbers. budget.ts carries them out.

export interface Job {
  /** Bytes that it is expected to use at its peak; more where it has used more already. */
  expect: number
  /** It has yielded once, and runs only while no other does. */
  alone: boolean
}

export interface Budget {
  /** Bytes that the group may use. */
  limit: number
  /** Bytes that are in use in the group, those of the jobs included. */
  usage: number
  /** At most so many jobs at once. */
  most: number
}

/** A job that runs, and what it uses now, bytes. */
export interface Running<J extends Job> {
  job: J
  usage: number
}

/** Bytes that are in use or promised: of each job what it is expected to use, or more where it uses more. */
export function promised(
  { usage }: Pick<Budget, 'usage'>,
  running: readonly Running<Job>[],
): number {
  const jobs = running.reduce((sum, each) => sum + each.usage, 0)
  // What the group uses besides: page cache that nobody is charged for here, programs of its own.
  const others = Math.max(usage - jobs, 0)
  return running.reduce((sum, { job, usage: own }) => sum + Math.max(job.expect, own), others)
}

/**
 * The job that starts next, or undefined. In the order in which they were given: a job that does not fit yet is
 * not overtaken, since a stream of small ones would keep it waiting for ever. Where nothing runs, any job starts:
 * one that is expected to use more than the budget has is tried all the same.
 */
export function next<J extends Job>(
  budget: Budget,
  waiting: readonly J[],
  running: readonly Running<J>[],
): J | undefined {
  const [first] = waiting
  if (first === undefined || running.length >= budget.most) return undefined
  if (running.length === 0) return first
  if (first.alone || running.some(({ job }) => job.alone)) return undefined
  return promised(budget, running) + first.expect <= budget.limit ? first : undefined
}

/**
 * Whether a job that has been killed for memory, to make room or by a killer, is run again: alone, and once. Who is
 * killed to make room is the newest, since the least work is lost with it.
 */
export const again = (job: Job, forMemory: boolean): boolean => forMemory && !job.alone

/** What a job of that name is expected to use, from the peaks that were seen: the largest of the last ones. */
export class Peaks {
  readonly #last = new Map<string, number[]>()

  constructor(
    readonly most = 1000,
    readonly each = 5,
  ) {}

  add(name: string, bytes: number): void {
    const seen = this.#last.get(name) ?? []
    // The name that was used longest ago is forgotten first.
    this.#last.delete(name)
    this.#last.set(name, [...seen, bytes].slice(-this.each))
    const [oldest] = this.#last.keys()
    if (this.#last.size > this.most) this.#last.delete(oldest!)
  }

  of(name: string): number | undefined {
    const seen = this.#last.get(name)
    return seen === undefined ? undefined : Math.max(...seen)
  }
}
