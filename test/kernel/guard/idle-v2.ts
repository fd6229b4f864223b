// A guarded v2 group in which nothing happens wakes no process: the kernel notifies of what changes.
// One sweep of all groups finds what a lost notification was for, within 10 s.
import { execFileSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { compiled } from '../../helpers/compile.js'
import { allEnabled, stop } from '../../helpers/faults.js'
import { frozen, high, usage } from '../../helpers/hold.js'
import { hogIn } from '../../helpers/hog.js'
import { MiB, onV2, write } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { scratch, until } from '../../helpers/scratch.js'

const WHY = 'v1 has no sweep: the kernel notifies of all'
const LIMIT = 32 * MiB
const SWEEP = 10_000
const WATCHED = 4000

/** How often threads of the library have gone to sleep: the process's, or all of the guardian. */
function sleeps(pid: number, whose = /^oom-/): number {
  let count = 0
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8')
    if (!whose.test(/^Name:\s+(.*)/m.exec(status)![1]!)) continue
    count += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)![1])
  }
  return count
}

t.test('idle groups wake neither process, but for one sweep of all', onV2(WHY), async t => {
  const remote = await Remote.start(t)
  const dirs = Array.from({ length: 20 }, () => scratch(t, LIMIT))
  let guardian = 0
  for (const dir of dirs) ({ guardian } = await remote.guard(dir, { delayMs: 60_000 }))
  const both = () => [sleeps(remote.pid), sleeps(guardian)] as const
  // What is left of arming.
  for (let last = -1; last !== both()[0] + both()[1]; await sleep(2000)) {
    last = both()[0] + both()[1]
  }
  // The clock is what is tested: that time alone wakes neither.
  const before = both()
  await sleep(WATCHED)
  const after = both()
  t.comment(`${after[0] - before[0]} and ${after[1] - before[1]} wake-ups in ${WATCHED} ms`)
  t.ok(after[0] - before[0] <= 2, 'the process')
  t.ok(after[1] - before[1] <= 2, 'the guardian')

  // What both still notice.
  write(dirs[3]!, 'memory.high', 'max')
  await until(() => high(dirs[3]!) < LIMIT)
  t.ok(both()[0] > after[0] && both()[1] > after[1])
})

/** Waits until the last sweep is over, the next one far, and the sampling that follows arming at its end. */
async function betweenSweeps(): Promise<void> {
  await sleep(1200)
  await until(() => {
    const since = Number(process.hrtime.bigint() / 1_000_000n) % SWEEP
    return since > 500 && since < 1500
  })
}

/** How long members wait until the group is released, after `fault` has taken something of it. */
async function waited(
  t: Test,
  options: { guardian?: false },
  fault: (dir: string, remote: Remote, guardian: number) => Promise<void> | void,
): Promise<number> {
  const dir = scratch(t, LIMIT)
  const remote = await Remote.start(t)
  // It waits between the line, 24 MiB, and the limit, where the kernel kills no process by itself.
  const hold = { band: '8M', freeze: 'never' } as const
  const { guardian } = await remote.guard(dir, { delayMs: 100, hold, ...options })
  await fault(dir, remote, guardian)
  const hog = await hogIn(t, dir)
  await betweenSweeps()
  hog.fill(25 * MiB).catch(() => {})
  await until(() => usage(dir) > 24 * MiB)
  const began = performance.now()
  await Promise.race([until(() => high(dir) === Infinity), hog.exited])
  const took = performance.now() - began
  t.comment(`${took.toFixed(0)} ms`)
  t.same(await hog.exited, [null, 'SIGKILL'])
  t.ok(took < SWEEP + 250 + 5000, 'no later than emulation makes of it')
  if (options.guardian === false) await remote.run('await guards[0].dispose()')
  else remote.child.kill('SIGKILL')
  await allEnabled(dir)
  return took
}

/** From here on the kernel notifies this process of nothing in the group. */
function mute(pid: number, dir: string): void {
  execFileSync(compiled('mute'), [String(pid), `${dir}/memory.events`])
}

t.test('a notification that is lost, without a guardian', onV2(WHY), async t => {
  const took = await waited(t, { guardian: false }, (dir, remote) => mute(remote.pid, dir))
  t.ok(took > 3000, 'found by the sweep')
})

t.test('one that both processes lose', onV2(WHY), async t => {
  const took = await waited(t, {}, (dir, remote, guardian) => {
    mute(remote.pid, dir)
    mute(guardian, dir)
  })
  t.ok(took > 3000, 'found by the sweep')
})

t.test('one that the guardian of a stopped process loses', onV2(WHY), async t => {
  const took = await waited(t, {}, async (dir, remote, guardian) => {
    mute(guardian, dir)
    await stop(remote.pid)
  })
  t.ok(took > 3000, 'found by the sweep')
})

t.test('one that the process alone loses', onV2(WHY), async t => {
  const took = await waited(t, {}, (dir, remote) => mute(remote.pid, dir))
  t.ok(took < 3000, 'the guardian has acted')
})

t.test('a process that is stopped after it has frozen its members', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const remote = await Remote.start(t)
  const options = { delayMs: 3000, hold: { freeze: 'always' } } as const
  const { guardian } = await remote.guard(dir, options)
  // What the guardian knows of the OOM is that the sentinel has stopped the members.
  mute(guardian, dir)
  const hog = await hogIn(t, dir)
  await betweenSweeps()
  hog.fill(2 * LIMIT).catch(() => {})
  await remote.event('episode')
  await until(() => frozen(dir))
  const began = performance.now()
  await stop(remote.pid)
  t.same(await hog.exited, [null, 'SIGKILL'])
  const took = performance.now() - began
  t.comment(`${took.toFixed(0)} ms`)
  t.ok(took < 3000 + 250 + 3000)
  remote.child.kill('SIGKILL')
  await allEnabled(dir)
})
