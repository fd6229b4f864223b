// Records from the sentinel, as native/binding/environment.cc makes them.

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

/** `sub` of the root of a tree. */
export const ROOT_SUB = 1
