// Watching a simulated group: the same events, queues and rules for consumers as with a real one.
import type { OomEvent, OomWatch, UsageEvent } from '../../types/watch.js'
import { publishEvent } from '../base/diagnostics.js'
import { thresholdAt, type UsageThreshold } from '../base/bytes.js'
import { QueuedEvents } from '../base/event-iterator.js'
import { queueOf, type CheckedWatchOptions } from '../watch/watch.js'

/** {@link MemoryGroup.watch}; nothing keeps the event loop alive: its time is virtual. */
export class SimulatedWatch extends QueuedEvents<OomEvent> implements OomWatch {
  readonly ready = Promise.resolve()
  readonly #onEnd: (watch: SimulatedWatch) => void

  constructor(options: CheckedWatchOptions, onEnd: (watch: SimulatedWatch) => void) {
    super(queueOf(options))
    this.#onEnd = onEnd
    this.started(options.signal)
  }

  protected release(): void {
    this.#onEnd(this)
  }

  push(event: OomEvent): void {
    publishEvent(event)
    const last = event.type === 'removed'
    // Each watch has an event of its own: a waiting one is changed when a later one joins it.
    this.queue.push({ ...event }, last)
    if (last) this.queue.end()
  }
}

interface Filling {
  usage: number
  limit: number
}

/** {@link MemoryGroup.watchUsage}: reports each check() that finds usage on the other side. */
export class SimulatedThreshold extends QueuedEvents<UsageEvent> {
  readonly #threshold: UsageThreshold
  readonly #onEnd: (watch: SimulatedThreshold) => void
  #above: boolean

  constructor(
    threshold: UsageThreshold,
    { usage, limit }: Filling,
    signal: AbortSignal | undefined,
    onEnd: (watch: SimulatedThreshold) => void,
  ) {
    super({
      limit: 1,
      key: () => '',
      coalesce: (waiting, event) => {
        Object.assign(waiting, event, { count: waiting.count + event.count })
        return true
      },
    })
    this.#threshold = threshold
    this.#above = usage >= thresholdAt(threshold, limit)
    this.#onEnd = onEnd
    this.started(signal)
  }

  protected release(): void {
    this.#onEnd(this)
  }

  check(group: string, at: bigint, { usage, limit }: Filling): void {
    const threshold = thresholdAt(this.#threshold, limit)
    const above = usage >= threshold
    if (above === this.#above) return
    this.#above = above
    this.queue.push({ type: 'usage', group, at, count: 1, usage, threshold, above })
  }

  end(): void {
    this.queue.end()
  }
}
