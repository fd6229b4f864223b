// Runs inside the group that it guards, with ballast: fills the group from a child, and prints how
// the episode went. Ends only when the ballast has been allocated again.
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup } from '../../lib/index.js'
import { Hog } from './hog.js'
import { limit, MiB, usageOf } from './memory-files.js'

const dir = process.argv[2]!
const usage = () => usageOf(dir)
const group = await MemoryGroup.open(dir)
const hog = await Hog.start(dir)
const guard = await group.guard({
  delayMs: 20_000,
  reserve: { ballast: '24M' },
  plan: [{ afterMs: 0, action: 'ballast' }],
})
const before = usage()
limit(dir, before + 64 * MiB)
const filled = hog.fill(72 * MiB)
for await (const episode of guard) {
  const { outcome, steps } = await episode.ended
  // v2: what this process itself frees can end one before its step.
  if (outcome === 'recovered') continue
  await filled
  await hog.free()
  while (usage() < before - 8 * MiB) await sleep(20)
  console.log(JSON.stringify({ outcome, steps: steps.map(({ at: _, ...step }) => step) }))
  break
}
await guard.dispose()
await hog.end()
