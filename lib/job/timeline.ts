// What happened to a job, in order: collected from its guard, its group and its child.
import type { ExitReport } from '../../types/exit.js'
import type { MemoryGroup, OomGuard } from '../../types/group.js'
import type { TimelineEntry } from '../../types/job.js'
import type { OomWatch } from '../../types/watch.js'
import { count, duration, size } from '../base/format.js'

export class Timeline {
  readonly #startedAt: bigint
  readonly #entries: TimelineEntry[] = []
  #watch: OomWatch | undefined
  #killedBefore = Infinity

  constructor(startedAt: bigint) {
    this.#startedAt = startedAt
  }

  add(event: TimelineEntry['event'], text: string, at = process.hrtime.bigint()): void {
    this.#entries.push({ atMs: Number(at - this.#startedAt) / 1e6, event, text })
  }

  /**
   * The job's end. The kernel counts a kill before its victim ends; on cgroup v1 that may be seen up to half a second
   * later, where the kernel's report goes to a slow console: it stands before the end all the same.
   */
  end({ summary, by }: ExitReport, at: bigint): void {
    this.add('ended', summary, at)
    if (by === 'kernel') this.#killedBefore = this.#entries.at(-1)!.atMs
  }

  get entries(): TimelineEntry[] {
    const latest = (event: TimelineEntry['event']): number =>
      event === 'killed' || event === 'out-of-memory' ? this.#killedBefore : Infinity
    return this.#entries
      .map(entry => ({ ...entry, atMs: Math.min(entry.atMs, latest(entry.event)) }))
      .sort((a, b) => a.atMs - b.atMs || Number(a.event === 'ended') - Number(b.event === 'ended'))
  }

  /** OOMs and the kernel's kills. */
  async follow(group: MemoryGroup): Promise<void> {
    this.#watch = group.watch().unref()
    for await (const event of this.#watch) {
      const { at } = event
      if (event.type === 'oom') {
        this.add('out-of-memory', `out of memory, ${count(event.count, 'time')}`, at)
      } else if (event.type === 'kill') {
        this.add('killed', `the kernel killed ${count(event.count, 'task')}`, at)
      }
    }
  }

  /** `only`: the episodes of that group and those below it. */
  async episodes(guard: OomGuard, only: string | undefined): Promise<void> {
    for await (const { group, usage, limit, startedAt, ended } of guard) {
      if (only !== undefined && !`${group}/`.startsWith(`${only}/`)) continue
      this.add('episode', `an episode begins at ${size(usage)} of ${size(limit)}`, startedAt)
      void ended.then(({ outcome, at }) => {
        const text = `it ends after ${duration(Number(at - startedAt))}: ${outcome}`
        this.add('episode-end', text, at)
      })
    }
  }

  close(): void {
    void this.#watch?.return()
  }
}
