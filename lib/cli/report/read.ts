// The file of guard({ record }), as whoever may write it has left it: nothing of a line is believed but what has
// the right form.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { RecordedEpisode } from '../../../types/record.js'

export const FORMAT = 1

export interface RecordFile {
  episodes: RecordedEpisode[]
  /** Lines that are no episode. */
  broken: number
  /** Lines of formats that this version does not know, by format. */
  unknown: Map<number, number>
}

type Check = (value: unknown) => boolean

const text: Check = value => typeof value === 'string'
const count: Check = value => Number.isSafeInteger(value) && (value as number) >= 0
const whole: Check = value => Number.isSafeInteger(value)
const time: Check = value => typeof value === 'number' && value >= 0 && value < 1e15
const flag: Check = value => typeof value === 'boolean'
const oneOf =
  (...words: unknown[]): Check =>
  value =>
    words.includes(value)
const orNull =
  (check: Check): Check =>
  value =>
    value === null || check(value)
const optional =
  (check: Check): Check =>
  value =>
    value === undefined || check(value)
const listOf =
  (check: Check): Check =>
  value =>
    Array.isArray(value) && value.every(check)
const object =
  (fields: Record<string, Check>): Check =>
  value =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(fields).every(([name, check]) => check((value as Record<string, unknown>)[name]))

const isEpisode = object({
  format: oneOf(FORMAT),
  time: value => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
  host: text,
  pid: count,
  group: text,
  cgroup: oneOf(1, 2),
  heldBy: text,
  id: count,
  reason: optional(text),
  usage: count,
  limit: orNull(count),
  deadline: time,
  end: time,
  outcome: text,
  late: time,
  killed: listOf(count),
  kernelKills: count,
  steps: listOf(
    object({
      at: time,
      action: text,
      errno: whole,
      code: optional(text),
      signal: optional(text),
      killed: listOf(count),
      dryRun: flag,
    }),
  ),
  signalled: listOf(object({ at: time, pid: count, signal: text, by: text })),
  members: listOf(object({ pid: count, name: text, resident: count })),
  moreMembers: optional(count),
  samples: listOf(object({ at: time, usage: count, limit: orNull(count), line: orNull(count) })),
})

/** An episode; the number of a format that is unknown; undefined: the line is broken. */
export function episodeOf(line: string): RecordedEpisode | number | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  const { format } = (typeof value === 'object' && value !== null ? value : {}) as {
    format?: unknown
  }
  if (Number.isSafeInteger(format) && format !== FORMAT) return format as number
  if (!isEpisode(value)) return undefined
  const episode = value as RecordedEpisode
  // Date.parse() also takes what is no date but for its first words.
  return { ...episode, time: new Date(episode.time).toISOString() }
}

/** `path` '-': standard input. In order of time. */
export async function readRecord(path: string): Promise<RecordFile> {
  const input = path === '-' ? process.stdin : createReadStream(path)
  const file: RecordFile = { episodes: [], broken: 0, unknown: new Map() }
  // readline does not pass on what a stream fails with.
  const failed = new Promise<never>((_, reject) => input.once('error', reject))
  const reading = (async () => {
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      if (line.trim() === '') continue
      const found = episodeOf(line)
      if (found === undefined) file.broken++
      else if (typeof found === 'number')
        file.unknown.set(found, (file.unknown.get(found) ?? 0) + 1)
      else file.episodes.push(found)
    }
  })()
  await Promise.race([reading, failed])
  file.episodes.sort((a, b) => Date.parse(a.time) - Date.parse(b.time))
  return file
}
