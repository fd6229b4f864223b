// Watching: OomWatch for one group (MemoryGroup.watch) and for a tree (watchTree).
//
// The native side has the rules about removal, base line and counts (native/core/watch/watch.h); here are
// the ones about consumers: nothing is lost before the first next(), a slow one costs bounded memory.
import type { MemoryGroup } from '../../types/group.js'
import type {
  EventsOverflowed,
  LimitMet,
  OomEvent,
  OomWatch,
  WatchOptions,
} from '../../types/watch.js'
import { abortSignal, groupPath, integer, oneOf, options as objectOf, list } from '../base/args.js'
import { publishEvent } from '../base/diagnostics.js'
import { fromNative, OomError, ownError } from '../base/errors.js'
import { QueuedEvents } from '../base/event-iterator.js'
import { throwIfAborted, type QueueOptions } from '../base/queue.js'
import { handleOf, openHandle } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import type { NativeRecord, WatchRecord } from '../native/records.js'
import { KeepAlive, subscribe, unsubscribe } from '../native/subscribe.js'
import type { TreeWatchHandle } from '../native/watches.js'

const MAX_QUEUE = 2 ** 20

export interface CheckedWatchOptions {
  signal: AbortSignal | undefined
  maxQueue: number
  wanted: LimitMet['type'][]
}

export function checkWatchOptions(options: WatchOptions | undefined): CheckedWatchOptions {
  const { signal, events, maxQueue } = objectOf('options', options)
  const wanted: LimitMet['type'][] = []
  if (events !== undefined) {
    list('options.events', events).forEach((event, i) => {
      wanted.push(oneOf(`options.events[${i}]`, event, ['high', 'max']))
    })
  }
  const checked = {
    signal: abortSignal('options.signal', signal),
    maxQueue: maxQueue === undefined ? 1024 : integer('options.maxQueue', maxQueue, 1, MAX_QUEUE),
    wanted,
  }
  throwIfAborted(checked.signal)
  return checked
}

/** A record of a watch, real or simulated, as its consumer gets it. */
export function eventOf(record: WatchRecord, group: string): OomEvent {
  const { at, counters } = record
  switch (record.kind) {
    case 'oom':
      return { type: 'oom', group, at, count: record.count, origin: record.origin, counters }
    case 'removed':
      return { type: 'removed', group, at, counters }
    default:
      return { type: record.kind, group, at, count: record.count, counters }
  }
}

/** Joins an event to an earlier one of the same group and type that has not been taken yet. */
function coalesce(waiting: OomEvent, event: OomEvent): boolean {
  if (!('count' in waiting) || !('count' in event)) return false
  waiting.count += event.count
  waiting.counters = event.counters
  if (waiting.type === 'oom' && event.type === 'oom' && waiting.origin !== event.origin) {
    waiting.origin = 'unknown'
  }
  return true
}

const keyOf = (event: OomEvent) => ('group' in event ? `${event.type}\0${event.group}` : '')

const overflow = (missed: number, first: OomEvent): EventsOverflowed => ({
  type: 'overflow',
  at: first.at,
  missed,
})

/** How the events of a watch, real or simulated, wait for their consumer. */
export function queueOf({ maxQueue }: CheckedWatchOptions): Omit<QueueOptions<OomEvent>, 'onEnd'> {
  return { limit: maxQueue, key: keyOf, coalesce, overflow }
}

/** What a watch needs of the native side; set by what starts it. */
interface Feed {
  /** The path of a group; undefined for one that is forgotten. */
  pathOf(sub: number): string | undefined
  /** After a group's last event: how many groups are left. */
  forget(sub: number): number
  /** The failure that a record has reported. */
  trouble?(): unknown
  close(): void
}

class Watch extends QueuedEvents<OomEvent> implements OomWatch {
  readonly #target: number
  readonly ready: Promise<void>
  #feed: Feed | undefined
  /** The removal of a tree's root, until those of the groups below have been reported. */
  #rootRemoved: OomEvent | undefined

  constructor(
    options: CheckedWatchOptions,
    start: (watch: Watch, target: number) => Promise<void> | void,
  ) {
    super(queueOf(options), new KeepAlive())
    this.#target = subscribe(record => this.#record(record))
    try {
      this.ready = Promise.resolve(start(this, this.#target))
    } catch (error) {
      this.queue.end()
      throw error
    }
    // A failed start also ends the iterator with its reason; the caller need not wait for `ready`.
    this.ready.catch(reason => this.queue.fail(reason))
    this.started(options.signal)
  }

  protected release(): void {
    unsubscribe(this.#target)
    this.#feed?.close()
  }

  /** Sets the source of the events, which ends with the watch. */
  feed(feed: Feed): void {
    this.#feed = feed
    if (this.ended) feed.close()
  }

  get ended(): boolean {
    return this.queue.ended
  }

  #record(record: NativeRecord): void {
    const feed = this.#feed
    if (feed === undefined) return
    switch (record.kind) {
      case 'trouble':
        return this.queue.fail(feed.trouble?.())
      case 'oom':
      case 'kill':
      case 'high':
      case 'max':
      case 'removed':
        return this.#happened(feed, record)
      default: // of guards and the like
    }
  }

  #happened(feed: Feed, record: WatchRecord): void {
    const group = feed.pathOf(record.sub)
    if (group === undefined) return
    const event = eventOf(record, group)
    if (record.kind !== 'removed') return this.#report(event)
    const left = feed.forget(record.sub)
    if (record.root && left > 0) {
      this.#rootRemoved = event
      return
    }
    this.#report(event, left === 0)
    // Another group of the same name is another group.
    for (const type of ['oom', 'kill', 'high', 'max']) this.queue.seal(`${type}\0${group}`)
    if (left > 0) return
    if (this.#rootRemoved) this.#report(this.#rootRemoved, true)
    this.queue.end()
  }

  #report(event: OomEvent, last = false): void {
    publishEvent(event)
    this.queue.push(event, last)
  }
}

/** {@link MemoryGroup.watch} */
export function watchGroup(group: MemoryGroup, options?: WatchOptions): OomWatch {
  const checked = checkWatchOptions(options)
  const handle = handleOf(group)
  // The kernel accepts the registration of the root and never signals it: refuse the watch instead.
  if (handle.isRoot) throw ownError('ERR_ROOT_GROUP', group.path)
  return new Watch(checked, (watch, target) => {
    try {
      const native = new (binding().Watch)(handle, target, checked.wanted)
      watch.feed({ pathOf: () => group.path, forget: () => 0, close: () => native.close() })
    } catch (error) {
      throw fromNative(error, group.path)
    }
  })
}

/**
 * Watches a group and every group below it, new ones as they appear, with no window in between: what
 * happens in a group that is made after `ready` is reported from its beginning. The hierarchy's root may
 * be given (`'.'`): it has no events of its own, and its tree never ends.
 *
 * `ready` resolves when all that exist are armed, and rejects (as the first `next()` does) when that is
 * not possible. When a group that appears later cannot be watched (EMFILE), the iterator throws
 * that. Ends after the root's own `removed`, which comes last.
 *
 * One descriptor per group (v2: two more for each that has groups below): RLIMIT_NOFILE bounds it. inotify(7) notifies of new groups; where all of the
 * user's instances or watches are in use, they are found by listing the tree ten times a second, large ones
 * less often.
 *
 * @param root an absolute directory, or one relative to the memory hierarchy's mount
 */
export function watchTree(root: string, options?: WatchOptions): OomWatch {
  const path = groupPath('root', root)
  const checked = checkWatchOptions(options)
  binding()
  return new Watch(checked, (watch, target) => startTree(watch, target, path, checked))
}

async function startTree(
  watch: Watch,
  target: number,
  path: string,
  { signal, wanted }: CheckedWatchOptions,
): Promise<void> {
  const handle = await openHandle(path)
  const at = handle.path
  try {
    if (!watch.ended) {
      const tree = new (binding().TreeWatch)(handle, target, wanted)
      watch.feed(feedOf(tree, at))
      await tree.scan()
      // What it reads is needed for the origin of an OOM only: nothing waits for it.
      void tree.settle()
    }
  } catch (error) {
    if (!watch.ended) throw fromNative(error, at)
  } finally {
    handle.close()
  }
  throwIfAborted(signal)
  if (watch.ended) throw new OomError('ERR_CLOSED', `the watch of '${at}' has been ended`)
}

function feedOf(tree: TreeWatchHandle, at: string): Feed {
  return {
    pathOf: sub => {
      const name = tree.path(sub)
      if (name === undefined) return undefined
      return name === '' ? at : `${at}/${name}`
    },
    forget: sub => tree.forget(sub),
    trouble: () => fromNative(tree.trouble(), at),
    close: () => tree.close(),
  }
}
