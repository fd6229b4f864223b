// native/binding/guards.cc as TypeScript sees it.
import type { GroupHandle } from './group.js'

/** native/core/rules/episode.h: Fact, those that a program may state. */
export const Fact = { extend: 6, yield: 8, userRaised: 11 } as const

export interface GuardHandle {
  /** Rejects with the group's path below the guarded one in `trouble`. */
  arm(group: GroupHandle): Promise<void>
  /** 0, or -ESRCH: that episode has ended, or is past its deadline. Nanoseconds or bytes. */
  command(sub: number, episode: number, fact: number, value: number): number
  setDelay(ms: number): void
  /** The limit in bytes, lent headroom left aside; -1: that episode has ended. */
  baseLimit(sub: number, episode: number): number
  /**
   * `target`: a pid, 0 for all, -1 for the largest; any signal. ECANCELED: that episode has ended.
   */
  kill(sub: number, episode: number, target: number, signal: number): Promise<number[]>
  /** Relative to the guarded group. */
  path(sub: number): string
  /** What kept arm() from it, relative to the guarded group. */
  trouble(): string
  forget(sub: number): void
  groups(): number
  dispose(): Promise<void>
  /** On the spot, for a process that is about to exit. */
  disposeNow(): void
}

/** One step of a plan. */
export interface NativeStep {
  kind: number
  afterMs: number
  /** headroom */
  bytes: number
  /** signal */
  signal: number
  /** signal: 0 all, -1 the largest, else a pid */
  target: number
}

/** What the episode machine is given, of a real group or a simulated one. */
export interface EpisodeOptions {
  delayMs: number
  maxDelayMs: number
  fallback: number
  /** By `afterMs`. */
  plan: NativeStep[]
  /** Bytes; 0: none. */
  ballast: number
  dryRun: boolean
}

export interface NativeGuardOptions extends EpisodeOptions {
  guardDescendants: boolean
  takeOver: boolean
  /** v2. `band` 0: the default; `freeze`: of native/core/rules/hold_line.h, HoldFreeze. */
  hold: { band: number; freeze: number }
  /** 0: no guardian. */
  graceMs: number
  /** An fd of cgroup.procs that the guardian moves to, or -1. */
  place: number
}

export interface GuardsBinding {
  Guard: new (target: number, options: NativeGuardOptions) => GuardHandle
  /** Where the guardian's program is. */
  setGuardian(path: string): void
  /** 0: none runs. */
  guardianPid(): number
}
