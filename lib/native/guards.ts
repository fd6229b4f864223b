// native/binding/guards.cc as TypeScript sees it.
import type { Fallback, HoldOptions, PlanAction } from '../../types/guard.js'
import type { GroupHandle } from './group.js'

export interface GuardHandle {
  /** Rejects with the group's path below the guarded one in `trouble`. */
  arm(group: GroupHandle): Promise<void>
  /** False: that episode has ended, or is past its deadline. */
  extend(sub: number, episode: number, ms: number): boolean
  yield(sub: number, episode: number): boolean
  /** The limit in bytes that was written, Infinity for none. False: that episode has ended. */
  limitRaised(sub: number, episode: number, bytes: number): boolean
  setDelay(ms: number): void
  /** The limit in bytes without headroom; undefined: that episode has ended. */
  baseLimit(sub: number, episode: number): number | undefined
  /** Any signal. ECANCELED: that episode has ended. */
  kill(sub: number, episode: number, target: Target, signal: number): Promise<number[]>
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

/** Members of a group: a pid, the one with the largest resident size, or all. */
export type Target = number | 'largest' | 'all'

/** One step of a plan. */
export interface NativeStep {
  action: PlanAction
  afterMs: number
  /** headroom */
  bytes: number
  /** signal */
  signal: number
  /** signal */
  target: Target
}

/** What the episode machine is given, of a real group or a simulated one. */
export interface EpisodeOptions {
  delayMs: number
  maxDelayMs: number
  fallback: Fallback
  /** By `afterMs`. */
  plan: NativeStep[]
  /** Bytes; 0: none. */
  ballast: number
  /** `stallMs` 0: none. */
  thrash: { stallMs: number; windowMs: number }
  dryRun: boolean
}

export interface NativeGuardOptions extends EpisodeOptions {
  guardDescendants: boolean
  takeOver: boolean
  /** `band` 0: the default. */
  hold: {
    by: 'kernel' | 'signals'
    band: number
    who: NonNullable<HoldOptions['who']>
    freeze: NonNullable<HoldOptions['freeze']>
  }
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
