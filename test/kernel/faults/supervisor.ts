// The process that guards ends or stops in any way, before, during and after an episode: the group is
// never out of memory for longer than the delay and a little, and everything is restored.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { EpisodeEnd, GuardStats } from '../../../lib/index.js'
import {
  allEnabled,
  allGone,
  Clock,
  overfill,
  rounds,
  since,
  stop,
  recordLateness,
} from '../../helpers/faults.js'
import { Hog } from '../../helpers/hog.js'
import { Remote } from '../../helpers/remote.js'
import { isHeld, killsIn, MiB, underOom } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

const DELAY = 300

type Fault = (remote: Remote) => void
const signal =
  (name: NodeJS.Signals): Fault =>
  remote =>
    remote.child.kill(name)
const code =
  (text: string): Fault =>
  remote =>
    void remote.run(text).catch(() => {})

const FAULTS: [name: string, fault: Fault, code: number | null, signal: NodeJS.Signals | null][] = [
  ['SIGKILL', signal('SIGKILL'), null, 'SIGKILL'],
  ['SIGABRT', signal('SIGABRT'), null, 'SIGABRT'],
  ['SIGTERM', signal('SIGTERM'), null, 'SIGTERM'],
  ['process.abort()', code('process.abort()'), null, 'SIGABRT'],
  ['process.exit()', code('process.exit(3)'), 3, null],
  ['uncaught throw', code(`setImmediate(() => { throw new Error('on purpose') })`), 1, null],
]

for (const [name, fault, exitCode, exitSignal] of FAULTS) {
  t.test(`${name} of the supervisor`, async t => {
    const late = { before: [] as number[], during: [] as number[], after: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      for (const when of ['before', 'during', 'after'] as const) {
        const dir = scratch(t, 16 * MiB)
        const remote = await Remote.start(t)
        await remote.guard(dir, { delayMs: DELAY })
        t.ok(isHeld(dir))
        if (when === 'after') {
          const { lived } = await overfill(t, dir)
          t.notOk(await lived)
          await remote.event('ended')
        }
        if (when === 'during') {
          const { hog, lived } = await overfill(t, dir)
          const clock = await Clock.start(dir, hog)
          fault(remote)
          late[when].push((await clock.stop()) - DELAY)
          t.notOk(await lived, 'the kernel has decided')
          t.equal(killsIn(dir), 1, 'once')
        } else {
          fault(remote)
        }
        t.strictSame(await remote.exited, [exitCode, exitSignal], remote.stderr)
        await allEnabled(dir)
        await allGone(remote)
        // As if there had never been a guard.
        const { lived, began } = await overfill(t, dir)
        t.notOk(await lived)
        if (when !== 'during') late[when].push(since(began) - DELAY)
      }
    }
    for (const [when, list] of Object.entries(late))
      recordLateness(t, `${name} ${when} an episode`, list)
  })
}

/** The next episode is the sentinel's, or one of the next where it does not get to run in time. */
async function sentinelActs(t: Test, remote: Remote, dir: string): Promise<void> {
  let outcome = 'guardian'
  for (let tries = 0; outcome === 'guardian' && tries < 10; tries++) {
    const { lived } = await overfill(t, dir)
    t.notOk(await lived)
    outcome = (await remote.event<EpisodeEnd>('ended')).outcome
  }
  t.equal(outcome, 'fallback')
}

t.test('SIGSTOP and SIGCONT of the supervisor', async t => {
  const late: number[] = []
  // Time enough to be stopped within, on a slow machine.
  const delay = 5 * DELAY
  for (let round = 0; round < rounds; round++) {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    await remote.guard(dir, { delayMs: delay })
    const { hog, lived } = await overfill(t, dir)
    const clock = await Clock.start(dir, hog)
    await remote.event('episode')
    await stop(remote.pid)
    late.push((await clock.stop()) - delay)
    t.notOk(await lived)
    t.equal(killsIn(dir), 1)
    remote.child.kill('SIGCONT')
    t.match(await remote.event('ended'), { outcome: 'guardian', kernelKills: 1, steps: [] })
    t.equal(killsIn(dir), 1, 'there was one fallback only')
    t.ok(isHeld(dir), 'armed again')
    await sentinelActs(t, remote, dir)
    await remote.run('await guards[0].dispose()')
    await allEnabled(dir)
    remote.child.kill('SIGKILL')
    await allGone(remote)
  }
  recordLateness(t, 'SIGSTOP during an episode', late)
})

t.test(
  'supervisor and guardian are stopped and continued over and over: one kill, in time',
  async t => {
    const late: number[] = []
    for (let round = 0; round < 3 * rounds; round++) {
      const dir = scratch(t, 16 * MiB)
      const remote = await Remote.start(t)
      const { guardian } = await remote.guard(dir, { delayMs: DELAY, guardian: { graceMs: 10 } })
      // A second fallback would kill this process.
      const bystander = await Hog.start(dir)
      t.teardown(() => bystander.end())
      await bystander.fill(2 * MiB)
      const { hog, lived, began } = await overfill(t, dir)
      const clock = await Clock.start(dir, hog)
      const over = clock.stop()
      const flap = { on: true }
      void over.then(() => (flap.on = false))
      // One of the two is stopped, never both.
      for (let turn = 0; flap.on; turn++) {
        const pid = turn % 2 === 0 ? remote.pid : guardian
        process.kill(pid, 'SIGSTOP')
        await sleep(5 + Math.random() * 60)
        process.kill(pid, 'SIGCONT')
        await sleep(Math.random() * 5)
      }
      late.push((await over) - DELAY)
      t.ok(since(began) >= DELAY, 'not before')
      t.notOk(await lived)
      await remote.event('ended')
      t.equal(killsIn(dir), 1, 'there was one fallback only')
      t.ok(isHeld(dir))
      await remote.run('await guards[0].dispose()')
      await allEnabled(dir)
      remote.child.kill('SIGKILL')
      await allGone(remote)
    }
    recordLateness(t, 'stopped and continued over and over', late)
  },
)

t.test('stopped before it runs out of memory, and again: each one has the full delay', async t => {
  const late: number[] = []
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: DELAY })
  await stop(remote.pid)
  for (let round = 0; round < 2 * rounds + 1; round++) {
    const { hog, lived, began } = await overfill(t, dir)
    const clock = await Clock.start(dir, hog)
    late.push((await clock.stop()) - DELAY)
    t.notOk(await lived)
    t.ok(since(began) >= DELAY, 'not before')
    t.equal(killsIn(dir), round + 1)
  }
  remote.child.kill('SIGCONT')
  await sentinelActs(t, remote, dir)
  recordLateness(t, 'out of memory while stopped', late)
})

t.test(
  'an OOM that the guardian has ended while the supervisor was stopped is one episode',
  async t => {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    await remote.guard(dir, { delayMs: DELAY })
    const before = Number(process.hrtime.bigint())
    await stop(remote.pid)
    const { hog, lived } = await overfill(t, dir)
    const clock = await Clock.start(dir, hog)
    await clock.stop()
    t.notOk(await lived)
    t.equal(killsIn(dir), 1)
    const over = Number(process.hrtime.bigint())
    remote.child.kill('SIGCONT')
    const { startedAt } = await remote.event<{ startedAt: number }>('episode')
    const end = await remote.event<EpisodeEnd>('ended')
    t.match(end, { outcome: 'guardian', kernelKills: 1, killed: [], steps: [], lateNs: 0 })
    t.equal(end.at, startedAt, 'it began and ended when the guardian acted')
    t.ok(startedAt >= before + DELAY * 1e6 && startedAt <= over, 'which was then')
    t.ok(isHeld(dir))
    // The next one is the second.
    await sentinelActs(t, remote, dir)
    const stats = await remote.run<GuardStats>('return guards[0].stats')
    t.equal(stats.missed, 0)
    t.equal(stats.episodes, killsIn(dir), 'one for each')
  },
)

t.test('stopped and continued within the delay: the clock is that of the group', async t => {
  const late: number[] = []
  // Half of it is what the guardian may be late by, before the sentinel's own clock has run out.
  const delay = 6 * DELAY
  for (let round = 0; round < rounds; round++) {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    await remote.guard(dir, { delayMs: delay })
    await stop(remote.pid)
    const { hog, lived } = await overfill(t, dir)
    const clock = await Clock.start(dir, hog)
    await sleep(delay / 2)
    remote.child.kill('SIGCONT')
    late.push((await clock.stop()) - delay)
    t.notOk(await lived)
    t.match(await remote.event('ended'), { outcome: 'guardian' })
  }
  recordLateness(t, 'stopped for half of the delay', late)
})

t.test('an extended delay is not cut short', async t => {
  // Time enough to be extended within, on a slow machine.
  const delay = 5 * DELAY
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  await remote.guard(
    dir,
    { delayMs: delay, maxDelayMs: 2 * delay },
    `episode => { episode.extend(${DELAY}); emit('extended') }`,
  )
  const { hog, lived, began } = await overfill(t, dir)
  const clock = await Clock.start(dir, hog)
  await remote.event('extended')
  await stop(remote.pid)
  const took = await clock.stop()
  t.notOk(await lived)
  t.ok(since(began) >= delay + DELAY, 'not before')
  recordLateness(t, 'SIGSTOP after extend()', [took - delay - DELAY])
})

t.test('an episode that the stopped supervisor does not see the end of', async t => {
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: 60_000 })
  const { hog, lived } = await overfill(t, dir)
  await Clock.start(dir, hog)
  await remote.event('episode')
  await stop(remote.pid)
  await hog.end()
  t.notOk(await lived)
  t.notOk(underOom(dir))
  remote.child.kill('SIGCONT')
  t.match(await remote.event('ended'), { kernelKills: 0 })
  t.ok(isHeld(dir))
})
