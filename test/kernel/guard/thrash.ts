// Episodes of a group that thrashes: one that reads back what it has in use begins one, one that streams files many
// times its limit and one that the hold lets sleep begin none. v1 has no stall information of a group.
// lab: short on 6.1/v2
import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { diskDir } from '../../helpers/disk.js'
import { failure, guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { hogIn } from '../../helpers/hog.js'
import { field, MiB, onV1, onV2, write } from '../../helpers/memory-files.js'
import { rereader, slowable, slowDisk, swapStalls, thrasher } from '../../helpers/rereader.js'
import { scratch, until } from '../../helpers/scratch.js'
import { swapOn } from '../../helpers/swap.js'

const LIMIT = 16 * MiB
const LONG = 60_000
// With the multi-generational LRU of 6.12 and 7.3 little of a file that is read back counts.
const THRASH = { stallMs: 50, windowMs: 1000 }
const { OOM_LONG, OOM_STREAM_S = OOM_LONG ? '60' : '15' } = process.env
const STREAM_MS = Number(OOM_STREAM_S) * 1000

t.test('v1 has no stall information of a group: refused, typed', onV1('its refusal'), async t => {
  const dir = scratch(t, LIMIT)
  const group = await openGroup(t, dir)
  for (const by of ['kernel', 'signals'] as const) {
    t.match(await failure(group.guard({ delayMs: 100, hold: { by }, thrash: THRASH })), {
      code: 'ERR_CGROUP_UNSUPPORTED',
      message: /stall information.*v1/,
    })
  }
  t.match(await failure(group.guard({ delayMs: 1, thrash: { stallMs: 2, windowMs: 1 } })), {
    code: 'ERR_OUT_OF_RANGE',
  })
  // Nothing was touched.
  const guard = await group.guard({ delayMs: 100 })
  await guard.dispose()
})

const full = (dir: string) =>
  Number(/^full .*total=(\d+)/m.exec(readFileSync(join(dir, 'memory.pressure'), 'utf8'))![1])
const restored = (dir: string) => field(dir, 'memory.stat', 'workingset_restore_file')
const refaulted = (dir: string) => field(dir, 'memory.stat', 'workingset_refault_file')

/** How often the sentinel has gone to sleep. */
function sleeps(): number {
  const tasks = '/proc/self/task'
  const status = readdirSync(tasks).map(tid => readFileSync(`${tasks}/${tid}/status`, 'utf8'))
  const sentinel = status.find(text => /^Name:\s+oom-sentinel$/m.test(text))!
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(sentinel)![1])
}

for (const by of ['kernel', 'signals'] as const) {
  t.test(
    `one that lives by what it reads back, held by ${by}`,
    { ...onV2('PSI'), ...slowable },
    async t => {
      const dir = scratch(t, LIMIT, 120)
      const at = diskDir(t)!
      const guard = await guarded(t, dir, {
        delayMs: 500,
        fallback: 'kernel',
        hold: { by, who: 'members' },
        thrash: THRASH,
      })
      const before = [full(dir), restored(dir)]
      // About one and a half times what fits, pages at random.
      await rereader(t, dir, {
        disk: at,
        mib: by === 'kernel' ? 20 : 24,
        readers: 4,
        how: 'random',
      })
      slowDisk(dir, at, 100)
      const episode = await guard.next()
      t.match(episode, { reason: 'thrash', group: dir, limit: LIMIT })
      t.ok(episode.usage > LIMIT / 2, `${episode.usage} bytes`)
      t.ok(full(dir) - before[0]! >= THRASH.stallMs * 1000, 'all have stalled as long')
      t.ok(restored(dir) > before[1]!, 'for pages that were in use')
      t.equal(field(dir, 'memory.events', 'oom'), 0, 'no OOM')
      t.equal(field(dir, 'cgroup.events', 'frozen'), 0, 'no member is stopped')
      const { outcome, steps, killed, kernelKills } = await episode.ended
      // The kernel would have had nothing to decide.
      t.match([outcome, kernelKills], ['fallback', 0])
      t.match(steps, [{ action: 'kill-largest', errno: 0 }])
      t.equal(killed.length, 1)
    },
  )
}

t.test('one that lives by what it swaps in', { ...onV2('PSI'), ...slowable }, async t => {
  const dir = scratch(t, LIMIT, 240)
  const at = diskDir(t)!
  swapOn(t, 64 * MiB)
  slowDisk(dir, at, 200)
  const guard = await guarded(t, dir, {
    delayMs: 500,
    fallback: 'kernel',
    thrash: { stallMs: 200, windowMs: 1000 },
  })
  await rereader(t, dir, { disk: at, mib: 20, readers: 1, how: 'swap' })
  const swappedIn = () => field(dir, 'memory.stat', 'workingset_refault_anon')
  if (!swapStalls) {
    const before = [full(dir), swappedIn(), performance.now()] as const
    await until(() => swappedIn() - before[1] >= 600)
    const share = (full(dir) - before[0]) / 1000 / (performance.now() - before[2])
    t.ok(share < 0.5, `it waits for swap all the time, and ${share} of it counts`)
    t.equal(guard.guard.stats.episodes, 0)
    return
  }
  const episode = await guard.next()
  t.match(episode, { reason: 'thrash', group: dir, limit: LIMIT })
  t.ok(swappedIn() > 0)
  t.equal(field(dir, 'memory.events', 'oom'), 0, 'no OOM')
  const { outcome, steps, killed } = await episode.ended
  t.match(steps, [{ action: 'kill-largest', errno: 0 }])
  t.match([outcome, killed.length], ['fallback', 1])
})

t.test('a limit that is raised ends it', { ...onV2('PSI'), ...slowable }, async t => {
  const dir = scratch(t, LIMIT, 120)
  const at = diskDir(t)!
  const thrash = thrasher(t, at)
  slowDisk(dir, at, 100)
  const guard = await guarded(t, dir, { delayMs: LONG, thrash: { stallMs: 200, windowMs: 1000 } })
  await thrash(dir)
  const episode = await guard.next()
  await episode.raiseLimit('64M')
  t.match(await episode.ended, { outcome: 'limit-raised', killed: [], steps: [] })
})

t.test('one that streams files many times its limit begins none', onV2('PSI'), async t => {
  const at = diskDir(t)
  if (at === undefined) return t.pass('no disk')
  const dir = scratch(t, LIMIT, 60 + STREAM_MS / 1000)
  const guard = await guarded(t, dir, { delayMs: LONG, thrash: { stallMs: 100, windowMs: 1000 } })
  await rereader(t, dir, { disk: at, mib: 128, readers: 1, how: 'stream' })
  const before = [full(dir), field(dir, 'memory.events', 'high')]
  await sleep(STREAM_MS)
  t.ok(field(dir, 'memory.events', 'high') > before[1]!, 'it has passed the line')
  t.comment(
    `stalled for ${((full(dir) - before[0]!) / STREAM_MS / 10).toFixed(1)} % of the time, ` +
      `${refaulted(dir)} pages read back, ${restored(dir)} of them in use before`,
  )
  t.equal(guard.guard.stats.episodes, 0)
})

t.test('one that the hold lets sleep has stalled, and does not thrash', onV2('PSI'), async t => {
  // What docs/kernel.md has: the sleep past memory.high counts as a stall of all, and nothing is read back.
  const dir = scratch(t, 256 * MiB)
  write(dir, 'memory.high', 16 * MiB)
  const guard = await guarded(t, dir, { delayMs: LONG, thrash: { stallMs: 100, windowMs: 500 } })
  const hog = await hogIn(t, dir)
  hog.fill(200 * MiB).catch(() => {})
  const stalled = full(dir)
  await until(() => full(dir) - stalled > 2_000_000)
  t.equal(restored(dir), 0)
  t.equal(guard.guard.stats.episodes, 0)
})

t.test('a group that does nothing costs no wake-ups, full or not', onV2('PSI'), async t => {
  const at = diskDir(t)
  if (at === undefined) return t.pass('no disk')
  const dir = scratch(t, LIMIT)
  await guarded(t, dir, { delayMs: LONG, thrash: THRASH })
  const child = await rereader(t, dir, { disk: at, mib: 32, readers: 1, how: 'stream' })
  await until(() => field(dir, 'memory.events', 'high') > 0)
  child.kill('SIGSTOP')
  await sleep(2000)
  // The clock is what is tested: that time alone wakes it for one sweep at most.
  const before = sleeps()
  await sleep(3000)
  const woken = sleeps() - before
  t.ok(woken <= 2, `${woken} wake-ups`)
})
