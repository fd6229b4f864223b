// Watching: OomWatch for one group (MemoryGroup.watch) and for a tree (watchTree).
//
// The native side has the rules about removal, base line and counts (native/core/watch.cc); here are
// the ones about consumers: nothing is lost before the first next(), a slow one costs bounded memory.
import type {
  EventsOverflowed,
  OomEvent,
  OomOrigin,
  OomWatch,
  WatchOptions,
} from '../types/watch.js'
import type { OomCounters } from '../types/group.js'
import { abortSignal, groupPath, integer, invalidType, oneOf, options as objectOf } from './args.js'
import { publishEvent } from './diagnostics.js'
import { binding, fromNative } from './errors.js'
import { handleOf, MemoryGroup } from './group.js'
import {
  KeepAlive,
  RecordKind,
  subscribe,
  unsubscribe,
  type NativeRecord,
} from './native/events.js'
import type { TreeWatchHandle } from './native/events.js'
import { EventQueue, failOnAbort, throwIfAborted } from './queue.js'

const ORIGINS: readonly OomOrigin[] = ['self', 'ancestor', 'unknown']
const MAX_QUEUE = 2 ** 20

export interface CheckedWatchOptions {
  signal: AbortSignal | undefined
  maxQueue: number
}

export function checkWatchOptions(options: WatchOptions | undefined): CheckedWatchOptions {
  const { signal, events, maxQueue } = objectOf('options', options)
  if (events !== undefined) {
    if (!Array.isArray(events)) throw invalidType('options.events', 'an instance of Array', events)
    events.forEach((event, i) => oneOf(`options.events[${i}]`, event, ['high', 'max']))
  }
  const checked = {
    signal: abortSignal('options.signal', signal),
    maxQueue: maxQueue === undefined ? 1024 : integer('options.maxQueue', maxQueue, 1, MAX_QUEUE),
  }
  throwIfAborted(checked.signal)
  return checked
}

function countersOf(record: NativeRecord): OomCounters {
  return { oomKill: Number(record.a), max: Number(record.b), underOom: record.c !== 0n }
}

function eventOf(record: NativeRecord, group: string): OomEvent | undefined {
  const { at, count } = record
  const counters = countersOf(record)
  switch (record.kind) {
    case RecordKind.oom:
      return { type: 'oom', group, at, count, origin: ORIGINS[record.detail]!, counters }
    case RecordKind.kill:
      return { type: 'kill', group, at, count, counters }
    case RecordKind.removed:
      return { type: 'removed', group, at, counters }
    default:
      return undefined
  }
}

/** Joins an event to an earlier one of the same group and type that nobody has taken yet. */
export function coalesce(waiting: OomEvent, event: OomEvent): boolean {
  if (!('count' in waiting) || !('count' in event)) return false
  waiting.count += event.count
  waiting.counters = event.counters
  if (waiting.type === 'oom' && event.type === 'oom' && waiting.origin !== event.origin) {
    waiting.origin = 'unknown'
  }
  return true
}

export const keyOf = (event: OomEvent) => ('group' in event ? `${event.type}\0${event.group}` : '')

export const overflowed = (missed: number, first: OomEvent): EventsOverflowed => ({
  type: 'overflow',
  at: first.at,
  missed,
})

class Watch implements OomWatch {
  readonly #alive = new KeepAlive()
  readonly #target: number
  readonly #queue: EventQueue<OomEvent>
  readonly ready: Promise<void>
  #close = () => {}

  constructor(
    options: CheckedWatchOptions,
    start: (watch: Watch, target: number) => Promise<void> | void,
  ) {
    let stopListening = () => {}
    this.#queue = new EventQueue<OomEvent>({
      limit: options.maxQueue,
      key: keyOf,
      coalesce,
      overflow: overflowed,
      onEnd: () => {
        stopListening()
        unsubscribe(this.#target)
        this.#alive.unref()
        this.#close()
      },
    })
    this.#target = subscribe(record => this.#record(record))
    try {
      this.ready = Promise.resolve(start(this, this.#target))
    } catch (error) {
      this.#queue.end()
      throw error
    }
    // A failed start also ends the iterator with its reason; nobody has to wait for `ready`.
    this.ready.catch(reason => this.#queue.fail(reason))
    stopListening = failOnAbort(this.#queue, options.signal)
    this.ref()
  }

  /** What ends with the watch. */
  owns(close: () => void): void {
    this.#close = close
    if (this.#queue.ended) close()
  }

  get ended(): boolean {
    return this.#queue.ended
  }

  pathOf: (sub: number) => string = () => ''
  /** Called after a group's last event. */
  forget: (sub: number) => void = () => {}
  single = true

  #record(record: NativeRecord): void {
    const event = eventOf(record, this.pathOf(record.sub))
    if (event === undefined) return
    publishEvent(event)
    const last = event.type === 'removed'
    this.#queue.push(event, last && this.single)
    if (!last) return
    // Another group of the same name is another group.
    for (const type of ['oom', 'kill']) this.#queue.seal(`${type}\0${event.group}`)
    this.forget(record.sub)
    if (this.single) this.#queue.end()
  }

  /** No more groups: the root of a tree is gone. */
  finish(): void {
    this.#queue.end()
  }

  ref(): this {
    if (!this.#queue.ended) this.#alive.ref()
    return this
  }

  unref(): this {
    this.#alive.unref()
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

/** {@link MemoryGroup.watch} */
export function watchGroup(group: MemoryGroup, options?: WatchOptions): OomWatch {
  const checked = checkWatchOptions(options)
  const handle = handleOf(group)
  return new Watch(checked, (watch, target) => {
    watch.pathOf = () => group.path
    try {
      const native = new (binding().Watch)(handle, target)
      watch.owns(() => native.close())
    } catch (error) {
      throw fromNative(error, group.path)
    }
  })
}

/**
 * Watches a group and every group below it, new ones as they appear, with no window in between.
 * `ready` resolves when all that exist are armed, and rejects (as the first `next()` does) when that is
 * not possible. Ends after the root's own `removed`.
 *
 * @param root an absolute directory, or one relative to the memory hierarchy's mount
 */
export function watchTree(root: string, options?: WatchOptions): OomWatch {
  const path = groupPath('root', root)
  const checked = checkWatchOptions(options)
  binding()
  return new Watch(checked, (watch, target) => startTree(watch, target, path))
}

async function startTree(watch: Watch, target: number, path: string): Promise<void> {
  await using group = await MemoryGroup.open(path)
  if (watch.ended) return
  const tree: TreeWatchHandle = new (binding().TreeWatch)(handleOf(group), target)
  const at = group.path
  watch.single = false
  watch.pathOf = sub => {
    const name = tree.path(sub)
    return name === '' ? at : `${at}/${name}`
  }
  watch.forget = sub => {
    const isRoot = tree.path(sub) === ''
    tree.forget(sub)
    if (isRoot) watch.finish()
  }
  watch.owns(() => tree.close())
  try {
    await tree.scan()
  } catch (error) {
    throw fromNative(error, at)
  }
}
