// Episodes of a group that has lost its last process: what is charged stays (tmpfs pages, what a
// process that was moved away has left), but no task waits.
import t, { type Test } from 'tap'
import { closeSync, openSync } from 'node:fs'
import { guarded } from '../../helpers/guard.js'
import { hogIn } from '../../helpers/hog.js'
import { isHeld, MiB, read, underOom, usageOf, write } from '../../helpers/memory-files.js'
import { plainChild, scratch, until } from '../../helpers/scratch.js'

t.setTimeout(300_000)

const MINUTE = 60_000

/** A member that fills the group with pages which stay when it is gone, until the test ends. */
async function fillForGood(t: Test, dir: string) {
  const hog = await hogIn(t, dir)
  const fd = await hog.share(24 * MiB)
  const file = openSync(`/proc/${hog.pid}/fd/${fd}`, 'r')
  t.teardown(() => closeSync(file))
  const touched = hog.again()
  touched.catch(() => {})
  return { hog, touched }
}

t.test('tmpfs pages outlive all members: the episode ends, and no other begins', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: 200, fallback: 'kill-group' })
  const { hog } = await fillForGood(t, dir)
  const episode = await g.next()
  t.match(await episode.ended, { outcome: 'fallback', killed: [hog.pid] })
  t.equal(read(dir, 'cgroup.procs'), '')
  t.ok(usageOf(dir) > 12 * MiB, 'as full as it was')
  await until(() => isHeld(dir))
  t.equal(g.guard.stats.episodes, 1)
  // The next one to come finds a full group, and has an episode of its own.
  const next = await hogIn(t, dir)
  const filled = next.fill(24 * MiB)
  filled.catch(() => {})
  const second = await g.next()
  t.match(await second.ended, { outcome: 'fallback', killed: [next.pid] })
})

t.test('all are killed from outside: the episode does not wait for its deadline', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: MINUTE })
  const { hog } = await fillForGood(t, dir)
  const episode = await g.next()
  await hog.end()
  const { at, steps } = await episode.ended
  t.ok(at < episode.deadline, 'before the deadline')
  t.notOk(
    steps.some(step => step.action !== 'kernel'),
    'it has killed no process',
  )
})

t.test('the only one that waits is moved away: it goes on, the episode ends', async t => {
  const dir = scratch(t, 16 * MiB)
  const other = scratch(t)
  const g = await guarded(t, dir, { delayMs: MINUTE, fallback: 'kill-largest' })
  const hog = await hogIn(t, dir)
  const filled = hog.fill(24 * MiB)
  const episode = await g.next()
  await until(() => underOom(dir))
  write(other, 'cgroup.procs', hog.pid)
  const end = await episode.ended
  t.ok(end.at < episode.deadline, 'before the deadline')
  t.same(end.killed, [])
  t.equal(end.outcome, 'recovered')
  await filled
  t.equal(hog.child.exitCode, null, 'it lives')
  await until(() => isHeld(dir))
})

t.test('a member of a group below counts as a member', async t => {
  const dir = scratch(t, 16 * MiB)
  const below = plainChild(dir, 'below')
  const g = await guarded(t, dir, { delayMs: 400, fallback: 'kill-group' })
  const hog = await hogIn(t, below)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await g.next()
  const end = await episode.ended
  t.match(end, { outcome: 'fallback', killed: [hog.pid] })
  t.ok(end.at >= episode.deadline, 'not before the deadline')
})
