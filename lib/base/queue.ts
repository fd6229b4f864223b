// The queue behind every async iterator here: bounded, coalescing, and never silently lossy.
import { AbortError } from './errors.js'

interface Taker<T> {
  resolve: (result: IteratorResult<T, undefined>) => void
  reject: (reason: unknown) => void
}

export interface QueueOptions<T> {
  /** Most values held. */
  limit: number
  /** Joins a value to one that waits already: true when it did. */
  coalesce?: (waiting: T, value: T) => boolean
  /** What two values that may be joined have in common. */
  key?: (value: T) => string
  /** Makes the value that reports `missed` lost values, `first` being the first of them. */
  overflow?: (missed: number, first: T) => T
  /** Called once, when it has ended for whatever reason: release everything. */
  onEnd: () => void
}

/** One consumer; values pushed before the first `next()` wait. */
export class EventQueue<T> {
  readonly #options: QueueOptions<T>
  // Taken from `#head` on: shift() would move all of a long queue each time.
  #values: T[] = []
  #head = 0
  readonly #byKey = new Map<string, T>()
  readonly #takers: Taker<T>[] = []
  #missed = 0
  #firstMissed: T | undefined
  #ended = false
  #failure: { reason: unknown } | undefined

  constructor(options: QueueOptions<T>) {
    this.#options = options
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Values that wait to be taken. */
  get length(): number {
    return this.#values.length - this.#head
  }

  /** False: it is lost, and counted. `always`: also when the queue is full, for what must not be lost. */
  push(value: T, always = false): boolean {
    if (this.#ended) return true
    const taker = this.#takers.shift()
    if (taker) {
      taker.resolve({ value, done: false })
      return true
    }
    const { limit, key, coalesce } = this.#options
    const name = key?.(value)
    const waiting = name === undefined ? undefined : this.#byKey.get(name)
    if (waiting !== undefined && coalesce?.(waiting, value)) return true
    // Once something was lost, nothing may overtake the report of it.
    if (!always && (this.#missed > 0 || this.length >= limit)) {
      this.#missed++
      this.#firstMissed ??= value
      return false
    }
    if (always) this.#reportMissed()
    this.#values.push(value)
    if (name !== undefined) this.#byKey.set(name, value)
    return true
  }

  #reportMissed(): void {
    const { overflow } = this.#options
    if (this.#missed > 0 && overflow) this.#values.push(overflow(this.#missed, this.#firstMissed!))
    this.#missed = 0
    this.#firstMissed = undefined
  }

  #shift(): T | undefined {
    if (this.length === 0) return undefined
    const value = this.#values[this.#head]!
    this.#head++
    if (this.#head === this.#values.length) {
      this.#values = []
      this.#head = 0
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#values.length) {
      this.#values = this.#values.slice(this.#head)
      this.#head = 0
    }
    return value
  }

  /** Drops what waits; what comes from now on is kept. */
  clear(): void {
    this.#values = []
    this.#head = 0
    this.#missed = 0
    this.#firstMissed = undefined
    this.#byKey.clear()
  }

  /** Forgets that values with this key may still be joined. */
  seal(key: string): void {
    this.#byKey.delete(key)
  }

  /** No more values; those that wait can still be taken. */
  end(): void {
    this.#close(false)
  }

  /** As `break` out of the loop: what waits is dropped. */
  stop(): void {
    this.#failure = undefined
    this.#close(true)
  }

  /** The iterator throws this next, once; what waits is dropped. */
  fail(reason: unknown): void {
    if (this.#ended) return
    const taker = this.#takers.shift()
    if (taker) {
      taker.reject(reason)
    } else {
      this.#failure = { reason }
    }
    this.#close(true)
  }

  #close(drop: boolean): void {
    if (drop) this.clear()
    if (this.#ended) return
    this.#reportMissed()
    this.#ended = true
    this.#byKey.clear()
    for (const { resolve } of this.#takers.splice(0)) resolve({ value: undefined, done: true })
    this.#options.onEnd()
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#failure) {
      const { reason } = this.#failure
      this.#failure = undefined

      return Promise.reject(reason)
    }
    if (this.length === 0) this.#reportMissed()
    const value = this.#shift()
    if (value !== undefined) {
      const name = this.#options.key?.(value)
      if (name !== undefined && this.#byKey.get(name) === value) this.#byKey.delete(name)
      return Promise.resolve({ value, done: false })
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }))
  }
}

/** Ends the queue with an AbortError when the signal aborts; the result stops listening. */
export function failOnAbort<T>(queue: EventQueue<T>, signal: AbortSignal | undefined): () => void {
  if (!signal) return () => {}
  const abort = () => queue.fail(new AbortError(signal.reason))
  signal.addEventListener('abort', abort, { once: true })
  return () => signal.removeEventListener('abort', abort)
}

/** Throws the AbortError of a signal that has aborted already. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError(signal.reason)
}
