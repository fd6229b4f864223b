// Members that joined after the guard was armed are found when they are to be killed, and told of.
import t from 'tap'
import { MemoryGroup, type OomEpisode, type OomGuard } from '../../lib/index.js'
import { Hog } from '../helpers/hog.js'
import { MiB, scratch } from '../helpers/scratch.js'

// The loop is left open: a guard keeps the event loop alive only while it is iterated.
async function first(guard: OomGuard): Promise<OomEpisode> {
  const result = await guard[Symbol.asyncIterator]().next()
  if (result.done) throw new Error('no episode')
  return result.value
}

// A list of members that the kernel has made is kept for a second: so long the guard's own files
// know nobody who has come since.
t.test('kill-largest takes the one that has just come', async t => {
  await using group = await MemoryGroup.open(scratch(t, 16 * MiB))
  const guard = await group.guard({ delayMs: 50, fallback: 'kill-largest' })
  t.teardown(() => guard.dispose())
  const hog = await Hog.start(group.path)
  const filled = hog.fill(24 * MiB)
  const episode = await first(guard)
  await t.rejects(filled)
  t.match(await episode.ended, { outcome: 'fallback', killed: [hog.pid], kernelKills: 0 })
})

for (const victim of ['all', 'largest', 'pid'] as const) {
  t.test(`kill(${victim}) takes it, and the episode says so`, async t => {
    await using group = await MemoryGroup.open(scratch(t, 16 * MiB))
    const guard = await group.guard({ delayMs: 30_000 })
    t.teardown(() => guard.dispose())
    const hog = await Hog.start(group.path)
    const filled = hog.fill(24 * MiB)
    const episode = await first(guard)
    const rejected = t.rejects(filled)
    t.strictSame(await episode.kill(victim === 'pid' ? hog.pid : victim), [hog.pid])
    await rejected
    t.match(await episode.ended, { outcome: 'killed', killed: [hog.pid], kernelKills: 0 })
  })
}

t.test('a descendant whose killer is disabled is named', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  await using below = await MemoryGroup.create(`${dir}/below`)
  const other = await below.guard({ delayMs: 1000 })
  t.teardown(() => other.dispose())
  await t.rejects(group.guard({ delayMs: 1000 }), {
    code: 'ERR_KILLER_DISABLED',
    path: `${dir}/below`,
  })
  t.equal(other.stats.groups, 1)
})
