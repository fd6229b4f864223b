// The async iterator behind usage thresholds and pressure.
import { fromNative } from '../base/errors.js'
import { QueuedEvents } from '../base/event-iterator.js'
import { throwIfAborted } from '../base/queue.js'
import { isOfKind, type RecordOf } from '../native/records.js'
import { KeepAlive, subscribe, unsubscribe } from '../native/subscribe.js'
import type { SignalHandle } from '../native/watches.js'

interface Counted {
  at: bigint
  count: number
}

/**
 * An iterator over one native signal. What is not taken in time is joined to what waits: the time of the
 * first, the values of the last. `path`: what a failure to start it is about.
 */
export class Signals<T extends Counted, Kind extends 'usage' | 'pressure'> extends QueuedEvents<T> {
  readonly #target: number
  #native: SignalHandle | undefined

  constructor(
    signal: AbortSignal | undefined,
    path: string,
    kind: Kind,
    start: (target: number) => SignalHandle,
    eventOf: (record: RecordOf<Kind>) => T,
  ) {
    throwIfAborted(signal)
    super(
      {
        limit: 1,
        key: () => '',
        coalesce: (waiting, event) => {
          Object.assign(waiting, event, { at: waiting.at, count: waiting.count + event.count })
          return true
        },
      },
      new KeepAlive(),
    )
    this.#target = subscribe(record => {
      if (isOfKind(record, kind)) this.queue.push(eventOf(record))
      else if (record.kind === 'removed') this.queue.end()
    })
    try {
      this.#native = start(this.#target)
    } catch (error) {
      this.queue.end()
      throw fromNative(error, path)
    }
    this.started(signal)
  }

  protected release(): void {
    unsubscribe(this.#target)
    this.#native?.close()
  }
}
