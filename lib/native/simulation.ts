// native/binding/simulation.cc as TypeScript sees it. Times are nanoseconds of the virtual clock;
// methods that give a string give the name of an error, or ''.
import type { EpisodeOptions } from './guards.js'

/** What happened, in order. Each kind uses the fields that it needs. */
export interface SimulationRecord {
  kind: 'begin' | 'step' | 'end' | 'signal' | 'oom' | 'kill' | 'removed'
  at: bigint
  episode: number
  /** step: as the sentinel's records have it; end: the outcome */
  detail: number
  /** begin: the deadline; end: lateNs; oom, kill: how many; signal, step: the signal's number */
  value: bigint
  usage: number
  limit: number
  kernelKills: number
  errno: number
  code: string
  pids: number[]
}

/** native/core/rules/episode.h: Fact, those that command() takes. */
export const SimulationFact = { setDelay: 5, extend: 6, yield: 8 } as const

export interface SimulationHandle {
  readonly now: bigint
  readonly usage: number
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
  exit(pid: number): string
  /** `victim`: a pid, 0 for all, -1 for the largest (in an episode). */
  kill(victim: number, inEpisode: boolean): number[]
  setLimit(bytes: number): string
  freeze(frozen: boolean): void
  reclaim(bytes: number): number
  remove(kill: boolean): string
  guard(options: EpisodeOptions): void
  command(episode: number, fact: number, ns: number): boolean
  raiseLimit(bytes: number): string
  dispose(): void
  /** Carries on until something is to be told, or until then: whether there may be more. */
  run(until: bigint): boolean
  take(): SimulationRecord[]
}

export interface SimulationBinding {
  Simulation: new (limit: number, killerDisabled: boolean) => SimulationHandle
}
