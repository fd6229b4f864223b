// guard({ record }): appends each episode to a file, as one line of JSON.
//
// Each line is one write(2) to a file that was opened for it with O_APPEND: several processes may share the
// file, and one that another program has renamed is made again. Lines are written one after the other, on
// libuv's pool; no handling of an episode waits for that. What cannot be written is counted, and the first
// failure is a process warning.
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MemoryGroup, OomEpisode } from '../../types/group.js'
import type { EpisodeEnd } from '../../types/guard.js'
import type { RecordedEpisode } from '../../types/record.js'
import { debug } from '../base/diagnostics.js'

// A disk that hangs must not take all memory.
const MOST_WAITING = 256
// How long close() waits for one.
const CLOSE_MS = 1000

// O_NONBLOCK: a FIFO without a reader is refused, instead of keeping a thread for ever.
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

/** What there is to know of a guard. */
export interface Recorded {
  group: MemoryGroup
  heldBy: 'kernel' | 'signals'
  now(): bigint
}

const sizeOf = (bytes: number): number | null => (bytes === Infinity ? null : bytes)

/** A line without its newline. `wallMs`: the time of day when the episode began. */
export function lineOf(
  { group: { version }, heldBy }: Pick<Recorded, 'group' | 'heldBy'>,
  episode: Pick<
    OomEpisode,
    'id' | 'reason' | 'group' | 'startedAt' | 'deadline' | 'usage' | 'limit'
  >,
  end: EpisodeEnd,
  wallMs: number,
): string {
  const ms = (at: bigint) => Number(at - episode.startedAt) / 1e6
  const { moreMembers } = end
  const line: RecordedEpisode = {
    format: 1,
    time: new Date(wallMs).toISOString(),
    host: hostname(),
    pid: process.pid,
    group: episode.group,
    cgroup: version,
    heldBy,
    id: episode.id,
    reason: episode.reason,
    usage: episode.usage,
    limit: sizeOf(episode.limit),
    deadline: ms(episode.deadline),
    end: ms(end.at),
    outcome: end.outcome,
    late: end.lateNs / 1e6,
    killed: end.killed,
    kernelKills: end.kernelKills,
    steps: end.steps.map(step => ({ ...step, at: ms(step.at) })),
    signalled: end.signalled.map(one => ({ ...one, at: ms(one.at) })),
    members: end.members,
    ...(moreMembers === undefined ? {} : { moreMembers }),
    samples: end.samples.map(({ at, usage, limit, line }) => ({
      at: ms(at),
      usage,
      limit: sizeOf(limit),
      line: sizeOf(line),
    })),
  }
  return JSON.stringify(line)
}

export class EpisodeRecorder {
  readonly #path: string
  readonly #of: Recorded
  #writing: Promise<void> = Promise.resolve()
  #waiting = 0
  /** The last line was written in part. */
  #torn = false
  #told = false
  /** Episodes whose line could not be written. */
  failed = 0

  constructor(path: string, of: Recorded) {
    this.#path = path
    this.#of = of
  }

  add(episode: OomEpisode, end: EpisodeEnd): void {
    if (this.#waiting >= MOST_WAITING) return this.#fail(new Error('lines wait for the disk'))
    const ago = Number(this.#of.now() - episode.startedAt) / 1e6
    const line = `${lineOf(this.#of, episode, end, Date.now() - ago)}\n`
    this.#waiting++
    this.#writing = this.#writing
      .then(() => this.#write(line))
      .catch((error: unknown) => this.#fail(error))
      .finally(() => this.#waiting--)
  }

  /** When all lines are written, or the disk hangs. */
  async close(): Promise<void> {
    const stop = new AbortController()
    const late = sleep(CLOSE_MS, undefined, { signal: stop.signal }).catch(() => {})
    await Promise.race([this.#writing, late])
    stop.abort()
  }

  async #write(line: string): Promise<void> {
    const bytes = Buffer.from(this.#torn ? `\n${line}` : line)
    const file = await open(this.#path, FLAGS)
    let written: number
    try {
      written = (await file.write(bytes)).bytesWritten
    } finally {
      await file.close()
    }
    const whole = written === bytes.length
    if (written > 0) this.#torn = !whole
    if (!whole) throw new Error(`${written} of ${bytes.length} bytes could be written`)
  }

  #fail(error: unknown): void {
    this.failed++
    const { message } = error as Error
    debug('%s: not recorded: %s', this.#path, message)
    if (this.#told) return
    this.#told = true
    process.emitWarning(
      `an episode of '${this.#of.group.path}' could not be written to '${this.#path}': ${message}; ` +
        'of others that cannot, guard.stats.unrecorded has the number',
      { type: 'EpisodeRecordWarning', code: 'OOM_RECORD_FAILED' },
    )
  }
}
