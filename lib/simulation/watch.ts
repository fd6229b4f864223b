// Watching a simulated group: the same events, queues and rules for consumers as with a real one.
import type { EventIterator, OomEvent, OomWatch, UsageEvent } from '../../types/watch.js'
import { publishEvent } from '../diagnostics.js'
import { EventQueue, failOnAbort } from '../queue.js'
import { coalesce, keyOf, overflowed, type CheckedWatchOptions } from '../watch.js'

/** {@link MemoryGroup.watch}; nothing keeps the event loop alive: its time is virtual. */
export class SimulatedWatch implements OomWatch {
  readonly ready = Promise.resolve()
  readonly #queue: EventQueue<OomEvent>

  constructor(options: CheckedWatchOptions, onEnd: (watch: SimulatedWatch) => void) {
    let stopListening = () => {}
    this.#queue = new EventQueue<OomEvent>({
      limit: options.maxQueue,
      key: keyOf,
      coalesce,
      overflow: overflowed,
      onEnd: () => {
        stopListening()
        onEnd(this)
      },
    })
    stopListening = failOnAbort(this.#queue, options.signal)
  }

  push(event: OomEvent): void {
    publishEvent(event)
    const last = event.type === 'removed'
    // Each watch has its own: what waits is changed when another joins it.
    this.#queue.push({ ...event }, last)
    if (last) this.#queue.end()
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  next(): Promise<IteratorResult<OomEvent, undefined>> {
    return this.#queue.next()
  }

  return(): Promise<IteratorResult<OomEvent, undefined>> {
    this.#queue.stop()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#queue.stop()
  }
}

/** {@link MemoryGroup.watchUsage}: told whenever it is looked at and is on the other side. */
export class SimulatedThreshold implements EventIterator<UsageEvent> {
  readonly #queue: EventQueue<UsageEvent>
  readonly #threshold: number
  #above: boolean

  constructor(
    threshold: number,
    usage: number,
    signal: AbortSignal | undefined,
    onEnd: (watch: SimulatedThreshold) => void,
  ) {
    this.#threshold = threshold
    this.#above = usage > threshold
    let stopListening = () => {}
    this.#queue = new EventQueue<UsageEvent>({
      limit: 1,
      key: () => '',
      coalesce: (waiting, event) => {
        Object.assign(waiting, event, { count: waiting.count + event.count })
        return true
      },
      onEnd: () => {
        stopListening()
        onEnd(this)
      },
    })
    stopListening = failOnAbort(this.#queue, signal)
  }

  look(group: string, at: bigint, usage: number): void {
    const above = usage > this.#threshold
    if (above === this.#above) return
    this.#above = above
    const threshold = this.#threshold
    this.#queue.push({ type: 'usage', group, at, count: 1, usage, threshold, above })
  }

  end(): void {
    this.#queue.end()
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  next(): Promise<IteratorResult<UsageEvent, undefined>> {
    return this.#queue.next()
  }

  return(): Promise<IteratorResult<UsageEvent, undefined>> {
    this.#queue.stop()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#queue.stop()
  }
}
