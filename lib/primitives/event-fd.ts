// EventFd: eventfd(2) for JavaScript. The kernel's v1 notifications arrive on one (registerEvent).
import {
  abortSignal,
  boolean,
  integer,
  invalidType,
  options as checkOptions,
  outOfRange,
} from '../base/args.js'
import { brand, EVENT_FD, isInstance } from '../base/brand.js'
import { AbortError, fromNative } from '../base/errors.js'
import { binding } from '../native/addon.js'
import { Polled } from './polled.js'

const MAX = 2n ** 64n - 2n

export interface EventFdOptions {
  /** Each read takes 1 off the counter instead of all of it: EFD_SEMAPHORE. Default false. */
  semaphore?: boolean | undefined
}

export interface EventFdReadOptions {
  /** Aborting it rejects the read with an AbortError; the counter is not touched. */
  signal?: AbortSignal | undefined
}

interface Waiter {
  resolve(value: bigint): void
  reject(error: unknown): void
}

/**
 * A counter in the kernel that can be waited for: eventfd(2), close-on-exec and non-blocking.
 *
 * A pending `read()` keeps the event loop alive (see `unref`); it blocks neither the loop nor a
 * thread. Readers are served in the order in which they came. Iterating reads for ever; the loop
 * ends when the EventFd is closed.
 */
export class EventFd implements AsyncIterable<bigint>, Disposable {
  readonly #polled: Polled
  readonly #waiters: Waiter[] = []

  static {
    brand(this.prototype, EVENT_FD, true)
  }

  /** Also those of another copy of this package: ESM and CommonJS. */
  static [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(this, EventFd, EVENT_FD, value)
  }

  /**
   * @param initial the counter's first value, 0 (default) to 2**32 - 1.
   * @throws OomError `EMFILE`, `ENFILE`, `ENOMEM`.
   */
  constructor(initial = 0, options?: EventFdOptions) {
    integer('initial', initial, 0, 2 ** 32 - 1)
    const { semaphore: wanted } = checkOptions('options', options)
    const semaphore = boolean('options.semaphore', wanted, false)
    const native = binding()
    let fd: number
    try {
      fd = native.eventfdCreate(initial, semaphore)
    } catch (error) {
      throw fromNative(error)
    }
    this.#polled = new Polled('EventFd', fd, error => this.#serve(error))
  }

  /** The same as `new EventFd()`. */
  static create(initial = 0, options?: EventFdOptions): EventFd {
    return new EventFd(initial, options)
  }

  /** The file descriptor; it stays this object's. Throws `ERR_CLOSED` once closed. */
  get fd(): number {
    return this.#polled.fd
  }

  get closed(): boolean {
    return this.#polled.closed
  }

  /**
   * Waits until the counter is not 0, takes it and resolves with it: read(2). Rejects with
   * `ERR_CLOSED` when closed, also while waiting.
   */
  async read(options?: EventFdReadOptions): Promise<bigint> {
    const signal = abortSignal('options.signal', checkOptions('options', options).signal)
    if (signal?.aborted) throw new AbortError(signal.reason)
    if (this.closed) throw this.#polled.closedError()
    if (this.#waiters.length === 0) {
      const value = this.#take()
      if (value !== undefined) return value
      this.#polled.wait()
    }
    return new Promise<bigint>((resolve, reject) => {
      const abort = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        if (this.#waiters.length === 0) this.#polled.stop()
        reject(new AbortError(signal?.reason))
      }
      const waiter: Waiter = {
        resolve: value => {
          signal?.removeEventListener('abort', abort)
          resolve(value)
        },
        reject: error => {
          signal?.removeEventListener('abort', abort)
          reject(error)
        },
      }
      this.#waiters.push(waiter)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /**
   * Adds to the counter: write(2).
   * @param value 1 (default) to 2**64 - 2; 0 is allowed and wakes no reader.
   * @throws OomError `EAGAIN`: the counter would exceed 2**64 - 2; `ERR_CLOSED`.
   */
  write(value: number | bigint = 1n): void {
    if (typeof value !== 'bigint' && typeof value !== 'number') {
      throw invalidType('value', 'of type bigint or number', value)
    }
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw outOfRange('value', 'a safe integer, or a bigint', value)
    }
    const amount = BigInt(value)
    if (amount < 0n || amount > MAX) throw outOfRange('value', '>= 0 && <= 2 ** 64 - 2', value)
    const { fd } = this.#polled
    try {
      binding().eventfdAdd(fd, amount)
    } catch (error) {
      throw fromNative(error)
    }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<bigint> {
    const ended = new AbortController()
    const { signal } = ended
    const done = { done: true, value: undefined } as const
    return {
      next: async () => {
        if (this.closed || signal.aborted) return done
        try {
          return { done: false, value: await this.read({ signal }) }
        } catch (error) {
          if (this.closed || signal.aborted) return done
          throw error
        }
      },
      return: async () => {
        ended.abort()
        return done
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  /** Lets a pending read keep the event loop alive, as it does by default. */
  ref(): this {
    this.#polled.setRef(true)
    return this
  }

  /** A pending read no longer keeps the event loop alive. */
  unref(): this {
    this.#polled.setRef(false)
    return this
  }

  /** Pending reads reject with `ERR_CLOSED`, iterations end. Closing twice is fine. */
  close(): void {
    if (this.#polled.close()) this.#fail(this.#polled.closedError())
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #take(): bigint | undefined {
    try {
      return binding().eventfdTake(this.#polled.fd)
    } catch (error) {
      throw fromNative(error)
    }
  }

  #fail(error: unknown): void {
    this.#polled.stop()
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
  }

  #serve(error?: unknown): void {
    try {
      if (error !== undefined) return this.#fail(error)
      while (this.#waiters.length > 0) {
        const value = this.#take()
        if (value === undefined) return
        this.#waiters.shift()!.resolve(value)
      }
      this.#polled.stop()
    } catch (failure) {
      this.#fail(failure)
    }
  }
}
