// The fallback and the plan step that take the member that was started last.
// lab: short on v1, 6.1/v2
import t from 'tap'
import { readFileSync } from 'node:fs'
import type { OomEpisode } from '../../../lib/index.js'
import { allGone, stop } from '../../helpers/faults.js'
import { guarded } from '../../helpers/guard.js'
import { hogIn, type Hog } from '../../helpers/hog.js'
import { isHeld, MiB, underOom } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { plainChild, scratch, until } from '../../helpers/scratch.js'

/** In clock ticks since the machine was started: number 22 of proc_pid_stat(5). */
const startOf = (pid: number) =>
  Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[19])

/** Hogs that were started in different ticks, the second in the group below. */
async function inOrder(t: Parameters<typeof hogIn>[0], dir: string): Promise<Hog[]> {
  const hogs: Hog[] = []
  for (const where of [dir, plainChild(dir, 'below'), dir]) {
    let hog = await hogIn(t, where)
    while (hogs.length > 0 && startOf(hog.pid) <= startOf(hogs.at(-1)!.pid)) {
      await hog.end()
      hog = await hogIn(t, where)
    }
    hogs.push(hog)
  }
  return hogs
}

/** The end of the first episode in which the library has killed: one at the very line may be over before. */
async function killing(next: () => Promise<OomEpisode>) {
  for (;;) {
    const end = await (await next()).ended
    if (end.killed.length > 0 || end.kernelKills > 0) return end
  }
}

t.test('the fallback takes the newest, and the next newest in the next episode', async t => {
  const dir = scratch(t, 64 * MiB)
  const [old, middle, young] = await inOrder(t, dir)
  await old!.fill(8 * MiB)
  await young!.fill(12 * MiB)
  const g = await guarded(t, dir, { delayMs: 50, fallback: 'kill-newest' })
  // Of the three it is neither the largest nor the one that fills the group.
  const filled = middle!.fill(48 * MiB)
  const end = await killing(() => g.next())
  t.match(end, { outcome: 'fallback', killed: [young!.pid], kernelKills: 0 })
  t.match(end.steps[0], { action: 'kill-newest', signal: 'SIGKILL', errno: 0 })
  t.same(await young!.exited, [null, 'SIGKILL'])
  await filled
  const another = await hogIn(t, dir)
  // This time it is the one that fills the group.
  another.fill(12 * MiB).catch(() => {})
  t.match(await killing(() => g.next()), { killed: [another.pid], kernelKills: 0 })
  t.same(await another.exited, [null, 'SIGKILL'])
  t.same([old!.child.signalCode, middle!.child.signalCode], [null, null])
})

t.test('a step of the plan takes the newest', async t => {
  const dir = scratch(t, 64 * MiB)
  const [old, middle, young] = await inOrder(t, dir)
  await young!.fill(12 * MiB)
  const g = await guarded(t, dir, {
    delayMs: 60_000,
    plan: [{ afterMs: 50, action: 'kill-newest' }],
  })
  old!.fill(56 * MiB).catch(() => {})
  const end = await killing(() => g.next())
  t.match(end, { killed: [young!.pid], kernelKills: 0 })
  t.match(end.steps[0], { action: 'kill-newest', signal: 'SIGKILL', killed: [young!.pid] })
  t.equal(middle!.child.signalCode, null)
})

t.test('the guardian takes the newest when the supervisor is dead', async t => {
  const dir = scratch(t, 64 * MiB, 300)
  const remote = await Remote.start(t)
  // It can act only once the supervisor is dead, however late that is.
  const guardian = { graceMs: 60_000 }
  await remote.guard(dir, { delayMs: 300, fallback: 'kill-newest', guardian })
  const [old, middle, young] = await inOrder(t, dir)
  await young!.fill(12 * MiB)
  await stop(remote.pid)
  middle!.fill(56 * MiB).catch(() => {})
  await until(() => underOom(dir))
  process.kill(remote.pid, 'SIGKILL')
  t.same(await young!.exited, [null, 'SIGKILL'])
  await allGone(remote)
  t.notOk(isHeld(dir))
  t.equal(old!.child.signalCode, null)
})
