// Whether what a process has is the same after very many jobs: descriptors and threads by kind, memory.
import { readdirSync, readlinkSync } from 'node:fs'
import { nameOf, threads } from './proc.js'
import type { Bench } from './run.js'
import { median } from './stats.js'

/** Names and how many there are of each. */
export type Counts = Record<string, number>

export interface Sample {
  /** Jobs so far. */
  jobs: number
  counted: Counts
  bytes: Counts
}

function tally(names: readonly string[]): Counts {
  const counts: Counts = {}
  for (const name of names.toSorted()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** Of the open files what they are; which pipe or which group is another one each time. */
const descriptors = (pid: number | 'self'): string[] =>
  readdirSync(`/proc/${pid}/fd`).map(fd => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:?\[?\d+\]?$/, '')
    } catch {
      return 'closed meanwhile'
    }
  })

const threadNames = (pid: number | 'self'): string[] => threads(pid).map(tid => nameOf(pid, tid))

/** Adds what the process has: its descriptors and its threads. */
export function countProcess(counted: Counts, name: string, pid: number | 'self'): void {
  const open = tally(descriptors(pid))
  for (const kind of Object.keys(open)) counted[`${name}, ${kind}`] = open[kind]!
  const running = tally(threadNames(pid))
  for (const kind of Object.keys(running)) counted[`${name}, thread ${kind}`] = running[kind]!
}

/** How many descriptors, or threads, there are of the process. */
export const sumOf = (counted: Counts, name: string, what: 'descriptors' | 'threads'): number =>
  Object.entries(counted)
    .filter(([kind]) => kind.startsWith(`${name}, `))
    .filter(([kind]) => kind.startsWith(`${name}, thread `) === (what === 'threads'))
    .reduce((sum, [, n]) => sum + n, 0)

/** What memory may grow by: bytes for each job, and in all. */
export type Allowed = Record<string, { perJob: number; bytes: number }>

/** The median of five samples is taken for one where there are ten: V8 keeps this or that for a while. */
const NEAR = 5

/** What is counted has to be the very same. */
export function changed(first: Sample, now: Sample): string[] {
  const all = new Set([...Object.keys(first.counted), ...Object.keys(now.counted)])
  return [...all].flatMap(what => {
    const [from, to] = [first.counted[what] ?? 0, now.counted[what] ?? 0]
    return from === to ? [] : [`${what}: ${from}, then ${to}`]
  })
}

export function grownMemory(b: Bench, samples: readonly Sample[], allowed: Allowed): string[] {
  const grown: string[] = []
  const near = Math.max(Math.min(NEAR, Math.floor(samples.length / 2)), 1)
  const rows = [['memory', 'first minutes', 'last', 'per job', 'allowed']]
  for (const [what, { perJob, bytes }] of Object.entries(allowed)) {
    const of = (list: readonly Sample[]) => list.map(s => s.bytes[what]!)
    const [first, last] = [of(samples.slice(0, near)), of(samples.slice(-near))]
    // What is resident is more than what is in use: V8 and the C library keep what they had at most.
    const from = what.startsWith('resident') ? Math.max(...first) : median(first)
    const to = median(last)
    const between = samples.at(-1)!.jobs - samples[0]!.jobs
    const most = bytes + perJob * between
    if (to - from > most) grown.push(`${what}: ${to - from} bytes more, ${most} allowed`)
    const kib = (n: number) => `${(n / 1024).toFixed(0)} KiB`
    rows.push([what, kib(from), kib(to), `${((to - from) / between).toFixed(2)} B`, kib(most)])
  }
  b.table(rows)
  return grown
}
