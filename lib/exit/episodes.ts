// The episodes of this process's guards that concern a group: those of the group itself, of groups below and above it.
// Heard of on the diagnostics channels, which both dialects of the package share; nothing is heard before the first
// report is asked for.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { OomEpisode } from '../../types/group.js'
import type { EpisodeEnd } from '../../types/guard.js'
import type { EpisodeFact } from './facts.js'
import { pidsOf, type GroupPlace } from './group-files.js'

const START = 'cgroup-oom:episode:start'
const END = 'cgroup-oom:episode:end'

// The memory of a killed process is free, and so its episode over, some milliseconds before or after its parent hears.
const TOGETHER_MS = 500

const isTogether = (heardAt: number, exitAt: number): boolean => heardAt > exitAt - TOGETHER_MS

const isBelow = (path: string, above: string): boolean => `${path}/`.startsWith(`${above}/`)

interface Known {
  of: EpisodeFact['of']
  /** Of a group above: who was in the child's group when it began. */
  members: Set<number>
  end: EpisodeEnd | undefined
  /** When this thread heard of the end, milliseconds of performance.now(). */
  heardAt: number
}

export class Episodes {
  readonly #place: GroupPlace
  readonly #pid: number | undefined
  readonly #known = new Map<OomEpisode, Known>()
  readonly #ends = new Set<Promise<void>>()
  readonly #onStart = (episode: unknown) => this.#meet(episode as OomEpisode)
  // One that was under way when the child was started.
  readonly #onEnd = (message: unknown) => this.#meet((message as { episode: OomEpisode }).episode)

  constructor(place: GroupPlace, pid: number | undefined) {
    this.#place = place
    this.#pid = pid
    subscribe(START, this.#onStart)
    subscribe(END, this.#onEnd)
  }

  #meet(episode: OomEpisode): void {
    const { path } = this.#place
    if (this.#known.has(episode)) return
    const below = isBelow(episode.group, path)
    if (!below && !isBelow(path, episode.group)) return
    const members = new Set(below ? [] : pidsOf(this.#place))
    if (this.#pid !== undefined) members.add(this.#pid)
    const known: Known = {
      of: below ? 'self' : 'ancestor',
      members,
      end: undefined,
      heardAt: Infinity,
    }
    this.#known.set(episode, known)
    const ended = episode.ended.then(end => {
      known.end = end
      known.heardAt = performance.now()
      this.#ends.delete(ended)
    })
    this.#ends.add(ended)
  }

  /** Resolves when no episode runs. */
  async settled(): Promise<void> {
    await Promise.all(this.#ends)
  }

  close(): void {
    unsubscribe(START, this.#onStart)
    unsubscribe(END, this.#onEnd)
  }

  /** When this thread heard of the end of the last one that was over before the child ended; 0: of none. */
  overAt(exitAt: number): number {
    const over = [...this.#known.values()].filter(({ heardAt }) => !isTogether(heardAt, exitAt))
    return Math.max(0, ...over.map(({ heardAt }) => heardAt))
  }

  /** `exitAt`: when this thread heard of the child's end. */
  facts(exitAt: number): EpisodeFact[] {
    return [...this.#known].map(([{ reason }, { of, members, end, heardAt }]) => ({
      of,
      reason,
      outcome: end?.outcome,
      together: isTogether(heardAt, exitAt),
      killed: (end?.killed ?? []).filter(pid => of === 'self' || members.has(pid)),
      kernelKills: end?.kernelKills ?? 0,
      signalled: end?.signalled ?? [],
    }))
  }
}
