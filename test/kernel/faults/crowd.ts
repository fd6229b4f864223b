// Very many groups out of memory at the same time: no deadline waits for another one, neither if the
// sentinel keeps them nor, when the supervisor is dead or stopped, if the guardian does.
//   OOM_FAULT_ROUNDS   1: 100 groups; more: 1,000
import t from 'tap'
import { allEnabled, allGone, rounds, stop, recordLateness } from '../../helpers/faults.js'
import { Hog } from '../../helpers/hog.js'
import { Remote } from '../../helpers/remote.js'
import { isHeld, killsIn, MiB, underOom, version } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

t.setTimeout(rounds * 900_000)

const COUNT = rounds > 1 ? 1000 : 100
const DELAY = 500

for (const name of ['no fault', 'SIGKILL', 'SIGSTOP'] as const) {
  t.test(`${COUNT} groups out of memory at once, ${name}`, async t => {
    const dir = scratch(t, undefined, 600)
    const groups = Array.from({ length: COUNT }, (_, i) => child(dir, String(i), 1 * MiB))
    const remote = await Remote.start(t)
    await remote.guard(dir, { delayMs: 300_000, maxDelayMs: 600_000 })
    const hog = await Hog.start()
    t.teardown(() => hog.end())
    await hog.crowd(dir, COUNT, 2 * MiB)
    // Each has been: v2 uncharges now and then what throttled members had charged ahead.
    let waiting = groups
    await until(() => (waiting = waiting.filter(group => !underOom(group))).length === 0)

    // One deadline for all of them.
    await remote.run(`guards[0].setDelay(${DELAY})`)
    const began = process.hrtime.bigint()
    if (name === 'SIGKILL') remote.child.kill(name)
    if (name === 'SIGSTOP') await stop(remote.pid)
    let late = 0
    const unresolved = version === 1 ? underOom : (group: string) => killsIn(group) === 0
    for (let left = groups; left.length > 0; left = left.filter(unresolved)) {
      late = Number(process.hrtime.bigint() - began) / 1e6 - DELAY
      await new Promise(setImmediate)
    }
    await until(() => groups.every(group => killsIn(group) === 1))
    recordLateness(t, `${COUNT} groups at once, ${name}`, [late], COUNT)

    if (name === 'no fault') {
      // Each is armed again, a moment after the kernel's kill.
      waiting = groups
      await until(() => (waiting = waiting.filter(group => !isHeld(group))).length === 0)
      t.match(await remote.run('return guards[0].stats'), { missed: 0, groups: COUNT + 1 })
    }
    remote.child.kill('SIGKILL')
    await allEnabled(dir)
    await allGone(remote)
  })
}
