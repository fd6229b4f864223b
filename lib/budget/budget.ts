// MemoryBudget: starts jobs while what they are expected to use fits. The rules are schedule.ts's.
import type { SpawnOptions } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BudgetJobOptions, BudgetOptions, BudgetReport } from '../../types/budget.js'
import type { MemoryGroup as Group, OomGuard } from '../../types/group.js'
import { abortSignal, integer, invalidType, list, options as object } from '../base/args.js'
import { bytes, optionalBytes } from '../base/bytes.js'
import { AbortError, ownError } from '../base/errors.js'
import { exitReport } from '../exit/report.js'
import { createJobGroup } from '../group/job-groups.js'
import { MemoryGroup } from '../group/memory-group.js'
import { MAX_DELAY_MS } from '../guard/options.js'
import { beside, inGroup, isInside, used, type JobPlace } from './job-place.js'
import { again, next, Peaks, type Job } from './schedule.js'

// create()'s refusals where jobs can run all the same, without groups of their own.
const NO_GROUP_BELOW = new Set(['EROFS', 'EACCES', 'EPERM', 'EBUSY', 'ERR_GROUP_OCCUPIED'])

/** What child_process knows. */
function withoutOwn(options: BudgetJobOptions): SpawnOptions {
  const own = new Set(['expect', 'name', 'onStart', 'signal'])
  return Object.fromEntries(Object.entries(options).filter(([key]) => !own.has(key)))
}

// Usage changes while jobs run: what did not fit a moment ago may fit now.
const LOOK_MS = 200

// How long the memory of a job that has ended may take to be free, on a busy machine.
const FREED_MS = 200

interface Entry extends Job {
  readonly command: string
  readonly args: readonly string[]
  readonly name: string
  readonly options: BudgetJobOptions
  done: (report: BudgetReport) => void
  failed: (error: unknown) => void
  place: JobPlace | undefined
  /** It is being killed to make room. */
  yielding: boolean
  /** The group has been out of memory while it ran. */
  starved: boolean
}

/**
 * Runs jobs in parallel as long as the memory of a group allows: a job starts when what is in use and what the
 * running jobs are expected to use leaves room for it. Jobs start in the order in which they were given; where none
 * runs, the first starts whatever it is expected to use.
 *
 * The group is guarded. When it is out of memory, the newest job yields: it is killed with all that it has started,
 * and run again alone. A job yields once. If it runs out of memory alone, that is how it ends. On cgroup v1 a system
 * call that needs memory in a full group fails with ENOMEM: a job that ends with an error while, or after, the group was out of
 * memory is run again alone as well.
 *
 * Expectations are learned: a name's largest peak of its last five runs, of the last 1,000 names.
 *
 * @example
 * await using budget = new MemoryBudget({ group })
 * const reports = await Promise.all(files.map(file => budget.run('node', ['--test', file])))
 */
export class MemoryBudget implements AsyncDisposable {
  readonly group: Group
  readonly #limit: number | undefined
  readonly #most: number
  readonly #delayMs: number
  readonly #peaks = new Peaks()
  readonly #waiting: Entry[] = []
  /** In the order of their starts. */
  readonly #running: Entry[] = []
  #guard: Promise<OomGuard> | undefined
  #shared = false
  #looking = false
  #again = false
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** @throws {TypeError | RangeError} for what is no group, size or number, before anything is touched. */
  constructor(options: BudgetOptions) {
    const { group, limit, most, delayMs } = object('options', options)
    if (!(group instanceof MemoryGroup)) {
      throw invalidType('options.group', 'an instance of MemoryGroup', group)
    }
    this.group = group
    this.#limit = optionalBytes('options.limit', limit)
    this.#most = integer(
      'options.most',
      most === undefined ? availableParallelism() : most,
      1,
      4096,
    )
    this.#delayMs = integer(
      'options.delayMs',
      delayMs === undefined ? 1000 : delayMs,
      1,
      MAX_DELAY_MS,
    )
  }

  /** Jobs that run, and that wait. */
  get jobs(): { running: number; waiting: number } {
    return { running: this.#running.length, waiting: this.#waiting.length }
  }

  /** What a job of this name is expected to use, bytes; undefined: none has run. */
  expected(name: string): number | undefined {
    return this.#peaks.of(name)
  }

  /**
   * Runs a command as soon as it fits, and resolves when it has ended, in whatever way.
   *
   * @throws {TypeError | RangeError} for wrong arguments; OomError ERR_CLOSED; ERR_NO_LIMIT: neither the group nor the
   * budget has a limit; AbortError; what `guard()`, `create()` and `spawn()` reject with.
   */
  run(
    command: string,
    args: readonly string[] = [],
    options: BudgetJobOptions = {},
  ): Promise<BudgetReport> {
    return new Promise((done, failed) => {
      if (this.#closed) throw ownError('ERR_CLOSED', this.group.path)
      if (typeof command !== 'string') throw invalidType('command', 'of type string', command)
      list('args', args)
      const { expect, name, signal, onStart } = object('options', options)
      if (name !== undefined && typeof name !== 'string') {
        throw invalidType('options.name', 'of type string', name)
      }
      if (onStart !== undefined && typeof onStart !== 'function') {
        throw invalidType('options.onStart', 'of type function', onStart)
      }
      const given = expect === undefined ? undefined : bytes('options.expect', expect)
      const called = name ?? `${command} ${args.join(' ')}`
      const stop = abortSignal('options.signal', signal)
      if (stop?.aborted) throw new AbortError(stop.reason)
      const entry: Entry = {
        ...{ command, args, name: called, options, done, failed },
        ...{
          expect: given ?? NaN,
          alone: false,
          place: undefined,
          yielding: false,
          starved: false,
        },
      }
      const abort = () => this.#stop(entry, new AbortError(stop?.reason))
      stop?.addEventListener('abort', abort, { once: true })
      const heard = () => stop?.removeEventListener('abort', abort)
      entry.done = report => (heard(), done(report))
      entry.failed = error => (heard(), failed(error))
      this.#waiting.push(entry)
      void this.#look()
    })
  }

  /**
   * Ends it: jobs that have not been started are rejected with ERR_CLOSED, those that run are killed, and the guard is
   * disposed. The group itself stays open.
   */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    const closed = ownError('ERR_CLOSED', this.group.path)
    for (const entry of [...this.#waiting]) this.#stop(entry, closed)
    try {
      await Promise.all(this.#running.map(async entry => entry.place?.kill()))
    } finally {
      // Whatever a job that cannot be killed says.
      const guard = await this.#guard?.catch(() => undefined)
      await guard?.dispose()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #stop(entry: Entry, error: unknown): void {
    const at = this.#waiting.indexOf(entry)
    if (at >= 0) this.#waiting.splice(at, 1)
    entry.failed(error)
    void entry.place?.kill().catch(() => {})
  }

  /** Starts what fits now. One at a time: what one job takes counts for the next. */
  async #look(): Promise<void> {
    this.#again = true
    if (this.#looking) return
    this.#looking = true
    try {
      while (this.#again && !this.#closed) {
        this.#again = false
        const entry = await this.#next()
        if (entry === undefined) continue
        this.#waiting.splice(this.#waiting.indexOf(entry), 1)
        this.#running.push(entry)
        this.#again = true
        await this.#begin(entry)
      }
    } catch (error) {
      // Nothing can be started: whoever waits is told.
      for (const entry of this.#waiting.splice(0)) entry.failed(error)
    } finally {
      this.#looking = false
    }
    clearInterval(this.#timer)
    if (this.#waiting.length > 0 && this.#running.length > 0 && !this.#closed) {
      this.#timer = setInterval(() => void this.#look(), LOOK_MS)
    }
  }

  async #next(): Promise<Entry | undefined> {
    if (this.#waiting.length === 0) return undefined
    const limit = this.#limit ?? (await this.group.limits()).max
    if (limit === Infinity) throw ownError('ERR_NO_LIMIT', this.group.path)
    this.#guard ??= this.#arm().catch(error => {
      this.#guard = undefined
      throw error
    })
    await this.#guard
    for (const entry of this.#waiting) {
      if (Number.isNaN(entry.expect)) {
        entry.expect = this.#peaks.of(entry.name) ?? Math.floor(limit / this.#most)
      }
    }
    const running = await Promise.all(
      this.#running.map(async job => ({
        job,
        usage: (await job.place?.usage().catch(() => 0)) ?? 0,
      })),
    )
    const budget = { limit, usage: await used(this.group), most: this.#most }
    return next(budget, this.#waiting, running)
  }

  async #arm(): Promise<OomGuard> {
    const guard = await this.group.guard({
      ...{ delayMs: this.#delayMs, fallback: 'kill-newest' },
      hold: { by: 'auto' },
    })
    // Jobs that run keep the event loop alive by themselves.
    guard.unref()
    void this.#yield(guard)
    return guard
  }

  async #yield(guard: OomGuard): Promise<void> {
    let killedAt = -Infinity
    for await (const episode of guard) {
      for (const entry of this.#running) entry.starved = true
      // Begun by what the job before has not given back yet: no other one yields for that.
      if (performance.now() - killedAt < FREED_MS) {
        await Promise.race([episode.ended, sleep(FREED_MS, undefined, { ref: false })])
      }
      // One that ended while the last one was worked on: who runs now is not why it began.
      if (episode.signal.aborted) continue
      const newest = this.#running.filter(({ yielding }) => !yielding).at(-1)
      if (newest?.place === undefined) continue
      newest.yielding = true
      // By the episode first, so that its report knows who killed.
      const { pid } = newest.place
      if (pid !== undefined) await episode.kill(pid).catch(() => {})
      await newest.place.kill().catch(() => {})
      killedAt = performance.now()
    }
  }

  /** Starts a job; where groups cannot be made below the budget's, this one and those after it stay here. */
  async #begin(entry: Entry): Promise<void> {
    try {
      entry.place = await this.#place()
    } catch (error) {
      this.#running.splice(this.#running.indexOf(entry), 1)
      entry.failed(error)
      return
    }
    void this.#attempt(entry, entry.place).then(
      report => this.#ended(entry, report),
      error => {
        this.#running.splice(this.#running.indexOf(entry), 1)
        entry.failed(error)
        void this.#look()
      },
    )
  }

  async #place(): Promise<JobPlace> {
    if (!this.#shared) {
      try {
        return inGroup(
          await createJobGroup(this.group.path, 'budget', name => this.group.create(name)),
        )
      } catch (error) {
        const { code = '' } = error as { code?: string }
        if (!NO_GROUP_BELOW.has(code)) throw error
        this.#shared = true
      }
    }
    return beside(isInside(this.group) ? undefined : this.group)
  }

  async #attempt(entry: Entry, place: JobPlace): Promise<BudgetReport> {
    const { onStart, signal } = entry.options
    const attempts = entry.alone ? 2 : 1
    try {
      // While its group was made.
      if (this.#closed) throw ownError('ERR_CLOSED', this.group.path)
      if (signal?.aborted) throw new AbortError(signal.reason)
      const child = place.start(entry.command, entry.args, {
        stdio: 'inherit',
        ...withoutOwn(entry.options),
      })
      const report = exitReport(child)
      const unstarted = new Promise<never>((_, reject) => child.once('error', reject))
      onStart?.(child, attempts)
      return { ...(await Promise.race([report, unstarted])), attempts }
    } finally {
      const peak = await place.end()
      if (peak !== undefined) this.#peaks.add(entry.name, peak)
    }
  }

  #ended(entry: Entry, report: BudgetReport): void {
    this.#running.splice(this.#running.indexOf(entry), 1)
    // v1: a system call that needs memory fails with ENOMEM meanwhile, and takes the job with it: V8 ends by one of these
    // signals then. Any other signal was sent to end the job.
    const { code, signal } = report
    const failed = code !== null ? code !== 0 : signal === 'SIGABRT' || signal === 'SIGTRAP'
    const refused = entry.starved && this.group.version === 1 && failed
    const forMemory = entry.yielding || refused || report.oom === 'yes' || report.oom === 'likely'
    if (again(entry, forMemory) && !this.#closed && !entry.options.signal?.aborted) {
      entry.alone = true
      entry.yielding = entry.starved = false
      entry.place = undefined
      this.#waiting.push(entry)
    } else {
      entry.done(report)
    }
    void this.#look()
  }
}
