// native/binding/subscriptions.cc as TypeScript sees it.
import type { LimitMet } from '../../types/watch.js'
import type { GroupHandle } from './group.js'
import type { Row } from './records.js'

/** Native objects that end with close(), or with the environment. */
interface Closable {
  close(): void
}

export interface TreeWatchHandle extends Closable {
  scan(): Promise<void>
  /** After scan(): reads the base lines that it has left out. */
  settle(): Promise<void>
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

export interface WatchesBinding {
  /** The target under which it gets its records. */
  subscribe(callback: (...record: Row) => void): number
  unsubscribe(target: number): void
  /** Claims on the event loop: each ref() has its unref(). */
  ref(): void
  unref(): void
  /** Delivers the records that wait, now. */
  drain(): void
  Watch: new (group: GroupHandle, target: number, wanted: readonly LimitMet['type'][]) => Closable
  TreeWatch: new (
    group: GroupHandle,
    target: number,
    wanted: readonly LimitMet['type'][],
  ) => TreeWatchHandle
  Signal: {
    /** Of the limit in millionths, where those are not 0. */
    new (
      target: number,
      kind: 'usage',
      group: GroupHandle,
      bytes: string,
      millionths: number,
    ): SignalHandle
    new (target: number, kind: 'level', group: GroupHandle, args: string): SignalHandle
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
