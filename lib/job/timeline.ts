// What happened to a job, in order: collected from its guard, its group and its child.
import type { MemoryGroup, OomGuard } from '../../types/group.js'
import type { TimelineEntry } from '../../types/job.js'
import type { OomWatch } from '../../types/watch.js'
import { count, duration, size } from '../base/format.js'

export class Timeline {
  readonly #startedAt: bigint
  readonly #entries: TimelineEntry[] = []
  #watch: OomWatch | undefined

  constructor(startedAt: bigint) {
    this.#startedAt = startedAt
  }

  add(event: TimelineEntry['event'], text: string, at = process.hrtime.bigint()): void {
    this.#entries.push({ atMs: Number(at - this.#startedAt) / 1e6, event, text })
  }

  get entries(): TimelineEntry[] {
    return [...this.#entries].sort((a, b) => a.atMs - b.atMs)
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
