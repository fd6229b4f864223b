// DelayTimer: timerfd_create(2) for JavaScript, on the sentinel's thread: it fires whatever the event
// loop does.
import { integer, invalidType, options as checkOptions } from '../base/args.js'
import { fromNative, OomError } from '../base/errors.js'
import { EventQueue } from '../base/queue.js'
import { binding } from '../native/addon.js'
import { toMonotonic } from '../native/clock.js'
import type { NativeRecord } from '../native/records.js'
import { KeepAlive, subscribe, unsubscribe } from '../native/subscribe.js'
import type { SignalHandle } from '../native/watches.js'
import { EventFd } from './event-fd.js'

const MAX_MS = 2 ** 31 - 1

export interface DelayTimerOptions {
  /**
   * The sentinel adds the number of expirations to it at each one: a reader in this process or another, in
   * JavaScript or not, gets it even while the event loop is blocked.
   */
  eventFd?: EventFd | undefined
}

export interface DelayStartOptions {
  /** Expires repeatedly, with this many milliseconds in between: integer from 1 to 2**31 - 1. Default: once. */
  intervalMs?: number | undefined
}

export interface DelayExpiration {
  /** When the sentinel saw it, nanoseconds of process.hrtime.bigint()'s clock; never before `due`. */
  at: bigint
  /** When it was due. Of the first, where several are joined. */
  due: bigint
  /** How many times it has expired since the last was taken, at least 1. */
  count: number
}

/**
 * A timer of the sentinel: timerfd_create(2) with CLOCK_MONOTONIC. Its `at` is taken, and the eventFd
 * written to, on the sentinel's own thread, also while the event loop is blocked.
 *
 * While it is running it keeps the event loop alive as setTimeout() does; see `unref`. Iterate it to
 * take expirations; those that have not been taken yet are joined. The loop ends when it is closed, and
 * leaving the loop does not close it.
 */
export class DelayTimer implements AsyncIterable<DelayExpiration>, Disposable {
  readonly #alive = new KeepAlive()
  readonly #target: number
  readonly #queue: EventQueue<DelayExpiration>
  readonly #native: SignalHandle
  #wantsRef = true
  #due: bigint | undefined
  #interval = 0n

  /** @throws OomError EMFILE; ERR_CLOSED for an eventFd that is closed */
  constructor(options?: DelayTimerOptions) {
    const { eventFd } = checkOptions('options', options)
    if (eventFd !== undefined && !(eventFd instanceof EventFd)) {
      throw invalidType('options.eventFd', 'an instance of EventFd', eventFd)
    }
    const fd = eventFd?.fd ?? -1
    this.#queue = new EventQueue<DelayExpiration>({
      limit: 1,
      key: () => '',
      coalesce: (waiting, { count }) => {
        waiting.count += count
        return true
      },
      onEnd: () => {
        unsubscribe(this.#target)
        this.#alive.unref()
        this.#native?.close()
      },
    })
    this.#target = subscribe(record => this.#record(record))
    try {
      this.#native = new (binding().Signal)(this.#target, 'delay', null, fd)
    } catch (error) {
      this.#queue.stop()
      throw fromNative(error)
    }
  }

  /**
   * Starts it, or starts it again: timerfd_settime(2). Expirations that were not taken are dropped.
   *
   * @param delayMs from now until it expires: integer from 0 to 2**31 - 1
   * @throws OomError ERR_CLOSED
   */
  start(delayMs: number, options?: DelayStartOptions): void {
    integer('delayMs', delayMs, 0, MAX_MS)
    const { intervalMs } = checkOptions('options', options)
    if (intervalMs !== undefined) integer('options.intervalMs', intervalMs, 1, MAX_MS)
    this.#checkOpen()
    this.#queue.clear()
    this.#interval = BigInt(intervalMs ?? 0) * 1_000_000n
    this.#due = process.hrtime.bigint() + BigInt(delayMs) * 1_000_000n
    this.#native.start(toMonotonic(this.#due), this.#interval)
    if (this.#wantsRef) this.#alive.ref()
  }

  /** Stops it; expirations that were not taken are dropped. Stopping a stopped one is fine. */
  stop(): void {
    if (this.closed) return
    this.#queue.clear()
    this.#native.stop()
    this.#due = undefined
    this.#alive.unref()
  }

  /** Whether it is going to expire (again). */
  get active(): boolean {
    if (this.#due === undefined) return false
    return this.#interval > 0n || process.hrtime.bigint() < this.#due
  }

  get closed(): boolean {
    return this.#queue.ended
  }

  /** Stops it for good; iterations end. Closing twice is fine. */
  close(): void {
    this.stop()
    this.#queue.stop()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Lets it keep the event loop alive while it is running, as it does by default. */
  ref(): this {
    this.#wantsRef = true
    if (this.#due !== undefined) this.#alive.ref()
    return this
  }

  /** It no longer keeps the event loop alive. */
  unref(): this {
    this.#wantsRef = false
    this.#alive.unref()
    return this
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<DelayExpiration> {
    const end = { done: true, value: undefined } as const
    let left = false
    return {
      next: async () => (left ? end : this.#queue.next()),
      return: async () => {
        left = true
        return end
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  #checkOpen(): void {
    if (this.closed) throw new OomError('ERR_CLOSED', 'the DelayTimer is closed')
  }

  #record(record: NativeRecord): void {
    if (record.kind !== 'timer') return
    const { at, count, due } = record
    // One of before the last start() or stop(), which was on its way.
    if (this.#due === undefined || due < this.#due) return
    if (this.#interval === 0n) {
      this.#due = undefined
      this.#alive.unref()
    }
    this.#queue.push({ at, due, count })
  }
}
