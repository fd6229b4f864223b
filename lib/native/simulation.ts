// native/binding/simulation.cc as TypeScript sees it. Times are nanoseconds of the virtual clock;
// methods that return a string return the name of an error, or ''.
import type { EpisodeOptions, Target } from './guards.js'
import type { EpisodeRecord, Row, WatchRecord } from './records.js'

/** A process was sent a signal that is no kill, by its number. */
export type Signalled = [kind: 'signal', pid: number, signal: number]

/** Of the records that a watch and a guard of a real group get. */
export type Reported = WatchRecord | EpisodeRecord

export interface SimulationHandle {
  readonly now: bigint
  readonly usage: number
  readonly peak: number
  readonly limit: number
  readonly failures: number
  readonly kernelKills: number
  readonly underOom: boolean
  /** Its pid, or 0. */
  readonly largest: number
  readonly killerDisabled: boolean
  readonly pids: number[]
  spawn(bytes: number, spared: boolean): number
  add(pid: number): string
  moveOut(pid: number): string
  allocate(pid: number, bytes: number): string
  release(pid: number, bytes: number): string
  cache(bytes: number): void
  /** All processes, from now on, in parts per thousand of the time. */
  stall(perMille: number): void
  exit(pid: number): string
  /** The largest only in an episode. */
  kill(victim: Target, inEpisode: boolean): number[]
  setLimit(bytes: number): string
  freeze(frozen: boolean): void
  reclaim(bytes: number): number
  remove(kill: boolean): string
  guard(options: EpisodeOptions): void
  /** False: that episode has ended. */
  extend(episode: number, ms: number): boolean
  yield(episode: number): boolean
  setDelay(ms: number): void
  raiseLimit(bytes: number): string
  dispose(): void
  /** Runs until there are records, or until that time; returns whether there may be more. */
  run(until: bigint): boolean
  /** What happened, in order. All steps that have failed have a `code`. */
  take(): (Row<Reported['kind']> | Signalled)[]
}

export interface SimulationBinding {
  Simulation: new (limit: number, killerDisabled: boolean) => SimulationHandle
}
