// Very many groups out of memory at the same time: nobody's deadline waits for the others', whether
// the sentinel keeps them or, when the supervisor is dead or stopped, the guardian.
//   OOM_FAULT_ROUNDS   1: 100 groups; more: 1,000
import t, { type Test } from 'tap'
import { allEnabled, allGone, rounds, stop, tell } from '../helpers/faults.js'
import { Hog } from '../helpers/hog.js'
import { Remote } from '../helpers/remote.js'
import { child, field, killerDisabled, MiB, scratch, underOom, until } from '../helpers/scratch.js'

t.setTimeout(0)

const COUNT = rounds > 1 ? 1000 : 100
const DELAY = 500

/** All groups are guarded, then full; resolves when each is out of memory, to when the first was. */
async function starve(t: Test, delayMs: number) {
  const dir = scratch(t, undefined, 600)
  const groups = Array.from({ length: COUNT }, (_, i) => child(dir, String(i), 1 * MiB))
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs, maxDelayMs: 600_000 })
  const hog = await Hog.start()
  t.teardown(() => hog.end())
  await hog.crowd(dir, COUNT, 2 * MiB)
  return { dir, groups, remote }
}

const killed = (dir: string): number => field(dir, 'memory.oom_control', 'oom_kill')

t.test(`${COUNT} groups out of memory at once`, async t => {
  const { dir, groups, remote } = await starve(t, DELAY)
  await until(() => groups.every(group => killed(group) === 1))
  for (const group of groups) t.ok(killerDisabled(group), 'armed again')
  await until(async () => (await remote.run('return guards[0].stats.episodes')) === COUNT)
  const stats = await remote.run<{ missed: number; worstLateNs: number }>(
    'const { missed, worstLateNs } = guards[0].stats; return { missed, worstLateNs }',
  )
  t.equal(stats.missed, 0)
  tell(t, `${COUNT} groups at once, the sentinel`, [stats.worstLateNs / 1e6], COUNT)
  await remote.run('await guards[0].dispose()')
  await allEnabled(dir)
})

for (const name of ['SIGKILL', 'SIGSTOP'] as const) {
  t.test(`${COUNT} groups out of memory, ${name} of the supervisor`, async t => {
    const { dir, groups, remote } = await starve(t, 300_000)
    await until(() => groups.every(underOom))
    await remote.run(`guards[0].setDelay(${DELAY})`)
    const began = process.hrtime.bigint()
    if (name === 'SIGKILL') remote.child.kill(name)
    else await stop(remote.pid)
    let late = 0
    let left = groups
    while (left.length > 0) {
      left = left.filter(underOom)
      late = Number(process.hrtime.bigint() - began) / 1e6 - DELAY
      await new Promise(setImmediate)
    }
    await until(() => groups.every(group => killed(group) === 1))
    tell(t, `${COUNT} groups at once, ${name} of the supervisor`, [late], COUNT)
    remote.child.kill('SIGKILL')
    await allEnabled(dir)
    await allGone(remote)
  })
}
