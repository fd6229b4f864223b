// Guarding, against the real kernel.
// lab: short on v1
import t from 'tap'
import { MemoryGroup } from '../../../lib/index.js'
import type { OomEpisode } from '../../../lib/index.js'
import { Hog } from '../../helpers/hog.js'
import { isHeld, killsIn, lineOf, MiB, underOom } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

/** The iterator stays: it keeps the event loop alive until the episode has ended as well. */
async function first(guard: AsyncIterable<OomEpisode>): Promise<OomEpisode> {
  const next = await guard[Symbol.asyncIterator]().next()
  if (next.done) throw new Error('no episode')
  return next.value
}

t.test('a handler raises the limit in time', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  const guard = await group.guard({ delayMs: 10_000 })
  t.teardown(() => guard.dispose())
  t.ok(isHeld(dir))
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const filled = hog.fill(24 * MiB)
  const episode = await first(guard)
  t.match(episode, { id: 1, group: dir, limit: 16 * MiB })
  t.ok(episode.usage > lineOf(16 * MiB) - MiB)
  t.equal(episode.deadline - episode.startedAt, 10_000_000_000n)
  await episode.raiseLimit('64M')
  t.match(await episode.ended, { outcome: 'limit-raised', lateNs: 0, killed: [], steps: [] })
  t.ok(episode.signal.aborted)
  t.equal(await filled, 24 * MiB)
  await t.rejects(episode.raiseLimit('128M'), { code: 'ERR_EPISODE_ENDED' })
  t.match(guard.stats, { episodes: 1, byOutcome: { 'limit-raised': 1 }, groups: 1 })
  await guard.dispose()
  t.notOk(isHeld(dir))
})

t.test('at the deadline the kernel decides, not before', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  // A guardian on a machine that is busy enough would act in the place of the sentinel.
  const guard = await group.guard({ delayMs: 300, guardian: { graceMs: 30_000 } })
  t.teardown(() => guard.dispose())
  const hog = await Hog.start(dir)
  const filled = hog.fill(24 * MiB)
  const episode = await first(guard)
  await t.rejects(filled)
  const end = await episode.ended
  t.match(end, { outcome: 'fallback', kernelKills: 1, steps: [{ action: 'kernel', errno: 0 }] })
  t.ok(end.lateNs > 0)
  t.ok(end.steps[0]!.at >= episode.deadline)
  t.equal(killsIn(dir), 1)
  t.ok(isHeld(dir), 'armed again')
  t.notOk(underOom(dir))
})
