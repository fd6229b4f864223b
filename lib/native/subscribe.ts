// Which handlers get the sentinel's records, and what keeps the event loop alive for them.
import { fromNative } from '../base/errors.js'
import type { Claim } from '../base/event-iterator.js'
import { binding } from './addon.js'
import { onOwnClock } from './clock.js'
import { recordOf, type NativeRecord } from './records.js'

/** A number under which the handler gets its records, until `unsubscribe`. */
export function subscribe(handler: (record: NativeRecord) => void): number {
  const native = binding()
  try {
    return native.subscribe((...row) => handler(onOwnClock(recordOf(row))))
  } catch (error) {
    // The first one starts the sentinel.
    throw fromNative(error)
  }
}

export function unsubscribe(target: number): void {
  binding().unsubscribe(target)
}

/** One object's claim on the event loop, as a timer's: taken and dropped any number of times. */
export class KeepAlive implements Claim {
  #held = false
  ref(): void {
    if (this.#held) return
    this.#held = true
    binding().ref()
  }
  unref(): void {
    if (!this.#held) return
    this.#held = false
    binding().unref()
  }
}
