// Records from the sentinel: how they look here, who gets them, and what keeps the event loop alive.
import { fromNative } from '../base/errors.js'
import type { Claim } from '../base/event-iterator.js'
import { binding } from './addon.js'
import type { GroupHandle } from './group.js'

/** native/core/sentinel/channel.h: RecordKind. */
export const RecordKind = {
  oom: 0,
  kill: 1,
  removed: 2,
  usage: 3,
  pressure: 4,
  timer: 5,
  episodeBegin: 6,
  episodeStep: 7,
  pids: 8,
  episodeEnd: 9,
  trouble: 10,
  high: 11,
  max: 12,
} as const

/** native/core/sentinel/channel.h: what a to f mean is said there, by kind. */
export interface NativeRecord {
  target: number
  sub: number
  kind: number
  detail: number
  count: number
  at: bigint
  a: bigint
  b: bigint
  c: bigint
  d: bigint
  e: bigint
  f: bigint
}

/** Native objects that end when told, or with the environment. */
interface Closable {
  close(): void
}

/** `sub` of the root of a tree. */
export const ROOT_SUB = 1

export interface TreeWatchHandle extends Closable {
  scan(): Promise<void>
  /** Relative to the root; undefined for a group that is forgotten. */
  path(sub: number): string | undefined
  /** How many are left. */
  forget(sub: number): number
  /** After a record of `trouble`: the failure. */
  trouble(): Error
}

export interface SignalHandle extends Closable {
  /** Delays only: absolute nanoseconds, and a period or 0n. */
  start(when: bigint, period: bigint): void
  stop(): void
}

export interface EventsBinding {
  /** The target under which it gets its records. */
  subscribe(callback: (record: NativeRecord) => void): number
  unsubscribe(target: number): void
  /** Claims on the event loop: each ref() has its unref(). */
  ref(): void
  unref(): void
  /** Delivers the records that wait, now. */
  drain(): void
  Watch: new (group: GroupHandle, target: number, wanted: number) => Closable
  TreeWatch: new (group: GroupHandle, target: number, wanted: number) => TreeWatchHandle
  Signal: {
    new (target: number, kind: 'usage' | 'level', group: GroupHandle, args: string): SignalHandle
    new (
      target: number,
      kind: 'psi',
      group: GroupHandle,
      full: boolean,
      stallUs: number,
      windowUs: number,
    ): SignalHandle
    new (
      target: number,
      kind: 'service',
      group: null,
      path: string,
      data: Uint8Array,
      full: boolean,
      stallUs: number,
    ): SignalHandle
    new (target: number, kind: 'delay', group: null, eventFd: number): SignalHandle
  }
}

/** A number under which the handler gets its records, until `unsubscribe`. */
export function subscribe(handler: (record: NativeRecord) => void): number {
  const native = binding()
  try {
    return native.subscribe(handler)
  } catch (error) {
    // The first one starts the sentinel.
    throw fromNative(error)
  }
}

export function unsubscribe(target: number): void {
  binding().unsubscribe(target)
}

/** One thing's claim on the event loop, as a timer's: held and let go any number of times. */
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
