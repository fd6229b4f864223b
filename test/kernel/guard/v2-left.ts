// What a guard has left on a v2 group when its guardian has died with it: another guard (`takeOver`) and
// `rescue` restore the group from its mark.
import t, { type Test } from 'tap'
import { heldGroups } from '../../../lib/cli/held-groups.js'
import type { HoldOptions } from '../../../lib/index.js'
import { cli } from '../../helpers/cli.js'
import { guarded } from '../../helpers/guard.js'
import { frozen, high, max, pids } from '../../helpers/hold.js'
import { hogIn } from '../../helpers/hog.js'
import { Remote } from '../../helpers/remote.js'
import { MiB, onV2, write } from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'
import { Tracer } from '../../helpers/tracer.js'

const WHY = 'v1 has no hold'
const LONG = 60_000
const LIMIT = 32 * MiB
const LINE = 30 * MiB

/** A supervisor in a process of its own, and what ends it together with its guardian. */
async function supervisor(t: Test, dir: string, delayMs: number, hold: HoldOptions = {}) {
  const remote = await Remote.start(t, { home: scratch(t) })
  const { guardian } = await remote.guard(dir, { delayMs, hold })
  const end = async (): Promise<void> => {
    process.kill(guardian, 'SIGKILL')
    remote.child.kill('SIGKILL')
    await until(() => pids(remote.home).length === 0)
  }
  return { remote, guardian, end }
}

t.test('a group left frozen is taken over', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const { remote, end } = await supervisor(t, dir, LONG, { freeze: 'always' })
  const hog = await hogIn(t, dir)
  const filled = hog.fill(LIMIT + 8 * MiB)
  await remote.event('episode')
  await until(() => frozen(dir))
  process.kill(remote.pid, 'SIGSTOP')
  await end()
  t.ok(frozen(dir))
  t.equal(high(dir), LINE)
  t.match(await heldGroups([dir], { recursive: false }), [{ path: dir, behind: [] }])
  const guard = await guarded(t, dir, { delayMs: LONG, takeOver: true })
  const episode = await guard.next()
  await episode.raiseLimit({ by: LIMIT })
  await filled
  await guard.guard.dispose()
  t.equal(high(dir), Infinity)
  t.notOk(frozen(dir))
})

t.test('a group left throttled is rescued', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  write(dir, 'memory.high', LINE + MiB)
  const { guardian, end } = await supervisor(t, dir, LONG)
  process.kill(guardian, 'SIGSTOP')
  await end()
  t.equal(high(dir), LINE)
  const { status, stdout } = await cli(['rescue', dir])
  t.equal(status, 0)
  t.match(stdout, ': released (')
  t.equal(high(dir), LINE + MiB)
  t.same(await heldGroups([dir], { recursive: false }), [])
})

// The moment is found by ending the supervisor before each of its writes in turn, and again: how many
// there are differs.
async function endLowered(t: Test): Promise<string> {
  for (let n = 1, rounds = 0; ; n++) {
    const dir = scratch(t, LIMIT)
    const hold = { band: '8M', freeze: 'never' } as const
    const { remote, guardian, end } = await supervisor(t, dir, 300, hold)
    process.kill(guardian, 'SIGSTOP')
    const tracer = await Tracer.inject(t, remote.pid, 'SIGKILL', n, 'pwrite64')
    // It waits below the limit: memory.max has to be lowered to make the kernel kill.
    const hog = await hogIn(t, dir)
    hog.fill(26 * MiB).catch(() => {})
    const ended = remote.event('ended').then(
      () => true,
      () => false,
    )
    const over = await Promise.race([tracer.hit.then(hit => !hit), ended])
    await end()
    await hog.end()
    if (max(dir) < LIMIT) return dir
    if (!over) continue
    if (++rounds === 8) throw new Error(`never seen lowered, in ${n - 1} writes`)
    n = 0
  }
}

t.test('memory.max lowered for the kernel: taken over with another band', onV2(WHY), async t => {
  const dir = await endLowered(t)
  const { guard } = await guarded(t, dir, { delayMs: LONG, takeOver: true, hold: { band: '4M' } })
  t.equal(max(dir), LIMIT)
  await guard.dispose()
  t.equal(max(dir), LIMIT)
  t.equal(high(dir), Infinity)
})

t.test('a group left with a lowered memory.max is rescued', onV2(WHY), async t => {
  const dir = await endLowered(t)
  t.match(await cli(['rescue', dir]), { status: 0, stdout: /released \(/ })
  t.equal(max(dir), LIMIT)
  t.equal(high(dir), Infinity)
})

t.test('a memory.max that another program has set since stays', onV2(WHY), async t => {
  const dir = await endLowered(t)
  write(dir, 'memory.max', 48 * MiB)
  t.match(await cli(['rescue', dir]), { status: 0 })
  t.equal(max(dir), 48 * MiB)
  t.equal(high(dir), Infinity)
})
