// What tests of watches share.
import { readdirSync, rmdirSync } from 'node:fs'
import type { OomEvent, OomWatch } from '../../lib/index.js'
import { Hog } from './hog.js'
import { MiB } from './memory-files.js'

/** All that still comes, up to the end. */
export async function rest<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const event of events) all.push(event)
  return all
}

/** Takes events as they come; `seen` grows. */
export function follow<T>(events: AsyncIterable<T>): { seen: readonly T[]; ended: Promise<void> } {
  const seen: T[] = []
  const take = async () => {
    for await (const event of events) seen.push(event)
  }
  return { seen, ended: take() }
}

export const types = (events: readonly OomEvent[]): string[] => events.map(event => event.type)

/** The counts of one type, added up. */
export function total(events: readonly OomEvent[], type: string): number {
  return events.reduce((sum, e) => (e.type === type && 'count' in e ? sum + e.count : sum), 0)
}

/** Waits for events until the counts of a type add up to that number; returns all that came. */
export async function upTo(watch: OomWatch, type: string, count: number): Promise<OomEvent[]> {
  const all: OomEvent[] = []
  while (total(all, type) < count) {
    const { value, done } = await watch.next()
    if (done) throw new Error(`ended after ${JSON.stringify(types(all))}`)
    all.push(value)
  }
  return all
}

/** Runs a group out of memory until the kernel has killed for it. */
export async function killedIn(dir: string, bytes = 32 * MiB): Promise<Hog> {
  const hog = await Hog.start(dir)
  await hog.fill(bytes).then(
    () => Promise.reject(new Error('not killed')),
    () => {},
  )
  return hog
}

/** rmdir(2) as soon as the kernel lets us, without giving anything else a turn. */
export function removeAtOnce(dir: string): void {
  for (;;) {
    try {
      return rmdirSync(dir)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    }
  }
}

export const openFds = (): number => readdirSync('/proc/self/fd').length
