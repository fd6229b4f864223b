// The async iterator behind usage thresholds and pressure.
import type { EventIterator } from '../types/watch.js'
import {
  KeepAlive,
  RecordKind,
  subscribe,
  unsubscribe,
  type NativeRecord,
  type SignalHandle,
} from './native/events.js'
import { EventQueue, failOnAbort, throwIfAborted } from './queue.js'

interface Counted {
  at: bigint
  count: number
}

/** An iterator over one native signal. What is not taken in time is joined to what waits: the time of
 * the first, the values of the last. */
export class Signals<T extends Counted> implements EventIterator<T> {
  readonly #alive = new KeepAlive()
  readonly #queue: EventQueue<T>

  constructor(
    signal: AbortSignal | undefined,
    start: (target: number) => SignalHandle,
    eventOf: (record: NativeRecord) => T,
  ) {
    throwIfAborted(signal)
    let native: SignalHandle | undefined
    let stopListening = () => {}
    this.#queue = new EventQueue<T>({
      limit: 1,
      key: () => '',
      coalesce: (waiting, event) => {
        Object.assign(waiting, event, { at: waiting.at, count: waiting.count + event.count })
        return true
      },
      onEnd: () => {
        stopListening()
        unsubscribe(target)
        this.#alive.unref()
        native?.close()
      },
    })
    const target = subscribe(record => {
      if (record.kind === RecordKind.removed) {
        this.#queue.end()
      } else {
        this.#queue.push(eventOf(record))
      }
    })
    try {
      native = start(target)
    } catch (error) {
      this.#queue.end()
      throw error
    }
    stopListening = failOnAbort(this.#queue, signal)
    this.ref()
  }

  ref(): this {
    if (!this.#queue.ended) this.#alive.ref()
    return this
  }

  unref(): this {
    this.#alive.unref()
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
