// The async iterator that watches, usage thresholds and pressure are, real or simulated: it hands
// out what comes into its queue, until it ends, is left, or its signal aborts.
import type { EventIterator } from '../../types/watch.js'
import { EventQueue, failOnAbort, type QueueOptions } from './queue.js'

/** A claim on the event loop, as a timer's: made and given up any number of times. */
export interface Claim {
  ref(): void
  unref(): void
}

export abstract class QueuedEvents<T> implements EventIterator<T> {
  readonly #queue: EventQueue<T>
  readonly #alive: Claim | undefined
  #stopListening = () => {}

  /** `alive`: none where time is virtual. */
  constructor(options: Omit<QueueOptions<T>, 'onEnd'>, alive?: Claim) {
    this.#alive = alive
    this.#queue = new EventQueue<T>({
      ...options,
      onEnd: () => {
        this.#stopListening()
        this.#alive?.unref()
        this.release()
      },
    })
  }

  /** Called once, when it has ended for whatever reason. */
  protected abstract release(): void

  // Not a property, so that the log of a watch does not contain its queue.
  protected get queue(): EventQueue<T> {
    return this.#queue
  }

  /** What feeds it is there: from now on it keeps the event loop alive, and an abort ends it. */
  protected started(signal: AbortSignal | undefined): void {
    this.#stopListening = failOnAbort(this.#queue, signal)
    this.ref()
  }

  ref(): this {
    if (!this.#queue.ended) this.#alive?.ref()
    return this
  }

  unref(): this {
    this.#alive?.unref()
    return this
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return this.#queue.next()
  }

  return(): Promise<IteratorResult<T, undefined>> {
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
