// One OOM, one victim, on v2: where members wait below the limit, memory.max has to be lowered to make the
// kernel kill, and many a kernel chooses two victims then (test/native/twice.c).
import { execFileSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { compiled } from '../../helpers/compile.js'
import { allEnabled, stop } from '../../helpers/faults.js'
import { max } from '../../helpers/hold.js'
import { hogIn } from '../../helpers/hog.js'
import { Remote } from '../../helpers/remote.js'
import { killsIn, MiB, onV2 } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const WHY = 'v1 has a switch for the killer: no limit is lowered'
const ROUNDS = 20
// The write that asks is interrupted late where the machine is busy. Without that it is twelve and more.
const MOST = 7
const LIMIT = 32 * MiB

t.test('the kernel by itself', onV2(WHY), async t => {
  const home = scratch(t)
  child(home, 'gives-the-controller')
  const text = execFileSync(compiled('twice'), [home, '20'], { encoding: 'utf8' })
  const [rounds, one, two, none, ooms] = text.trim().split(' ').map(Number)
  t.comment(
    `one write to memory.max, ${rounds} times: one victim ${one}, two ${two}, none ${none}; ${ooms} times out of memory`,
  )
  t.equal(one! + two!, rounds)
})

/** The number of rounds in which the group has lost two. `fault` comes before it is out of memory. */
async function losses(t: Test, fault: (remote: Remote) => Promise<void>): Promise<number> {
  const dir = scratch(t, LIMIT)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: 100, hold: { band: '4M', freeze: 'never' } })
  await fault(remote)
  let twice = 0
  for (let round = 0; round < ROUNDS; round++) {
    const before = killsIn(dir)
    const small = await hogIn(t, dir)
    await small.fill(4 * MiB)
    const large = await hogIn(t, dir)
    // It waits between the line, 28 MiB, and the limit.
    large.fill(25 * MiB).catch(() => {})
    await large.exited
    await until(() => killsIn(dir) > before)
    // A second victim has died of the same write: the limit is restored when that is over.
    await until(() => max(dir) === LIMIT)
    if (killsIn(dir) - before > 1) twice++
    await small.end()
  }
  remote.child.kill('SIGKILL')
  await allEnabled(dir)
  t.equal(max(dir), LIMIT)
  t.comment(`${twice} of ${ROUNDS} rounds with two victims`)
  return twice
}

t.test('memory.max lowered by the sentinel: one victim', onV2(WHY), async t => {
  t.ok((await losses(t, async () => {})) <= MOST)
})

t.test(
  'memory.max lowered by the guardian of a stopped process: one victim',
  onV2(WHY),
  async t => {
    t.ok((await losses(t, remote => stop(remote.pid))) <= MOST)
  },
)
