// Runs inside the group that it guards, with ballast: fills the group from a child, and prints how
// the episode went. Ends only when the ballast is resident again.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup, type OomEpisode } from '../../lib/index.js'
import { Hog } from './hog.js'
import { limit, MiB, usageOf } from './memory-files.js'

const dir = process.argv[2]!
const BALLAST = 24 * MiB
const ROOM = 64 * MiB
// So little that what the ballast frees is enough for it, and for some more.
const CHUNK = 4 * MiB
// An episode that ends before its step has answered (its helper was late) is no plan's.
const ROUNDS = 10

/** How much is resident of what no child inherits: the ballast, and what the library has locked. */
function resident(): number {
  const mappings = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  const kept = mappings.filter(mapping => /^VmFlags:.* dc\b/m.test(mapping))
  const kib = kept.map(mapping => Number(/^Rss: +(\d+) kB/m.exec(mapping)![1]))
  return kib.reduce((sum, one) => sum + one, 0) * 1024
}

const group = await MemoryGroup.open(dir)
const hog = await Hog.start(dir)
const guard = await group.guard({
  delayMs: 20_000,
  reserve: { ballast: BALLAST },
  plan: [{ afterMs: 0, action: 'ballast' }],
})
const whole = resident()
if (whole < BALLAST) throw new Error('the ballast is not resident')
const episodes = guard[Symbol.asyncIterator]()
limit(dir, usageOf(dir) + ROOM)
for (let round = 1; ; round++) {
  const begun = episodes.next().then(({ value }) => value as OomEpisode)
  let filled: Promise<number>
  let episode: OomEpisode | undefined
  do {
    filled = hog.fill(CHUNK)
    episode = await Promise.race([begun, filled.then(() => undefined)])
  } while (episode === undefined)
  const { outcome, steps } = await episode.ended
  await filled
  await hog.free()
  while (resident() < whole) await sleep(100)
  // v2: what this process itself frees can end one before its step, too.
  if (outcome === 'recovered' && round < ROUNDS) continue
  console.log(JSON.stringify({ outcome, steps: steps.map(({ at: _, ...step }) => step) }))
  break
}
await guard.dispose()
await hog.end()
