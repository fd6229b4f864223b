// What only the hold of cgroup v2 has: its line, throttling and freezing, the mark, what is restored.
// The promises of both versions are tried by the other guard*.ts.
// lab: short on v2
import t, { type Test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { failure, guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { frozen, high, max, pids, usage } from '../../helpers/hold.js'
import { cacheLoad, diskDir } from '../../helpers/disk.js'
import { type Hog, hogIn } from '../../helpers/hog.js'
import { Remote } from '../../helpers/remote.js'
import { field, MiB, mount, onV2, write } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const WHY = 'v1 has no hold'
const LONG = 60_000
const LIMIT = 32 * MiB
const LINE = 30 * MiB

/** Starts one that wants more than the group may have. */
async function overfill(t: Test, dir: string): Promise<{ hog: Hog; lived: Promise<boolean> }> {
  const hog = await hogIn(t, dir)
  const lived = hog.fill(LIMIT + 8 * MiB).then(
    () => true,
    () => false,
  )
  return { hog, lived }
}

const asFound = (dir: string): boolean => high(dir) === Infinity && !frozen(dir)

t.test('armed it is held at the line; disposing restores what was found', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const { guard } = await guarded(t, dir, { delayMs: LONG })
  t.equal(high(dir), LINE)
  t.equal(max(dir), LIMIT)
  await guard.dispose()
  t.equal(high(dir), Infinity)

  const own = scratch(t, LIMIT)
  write(own, 'memory.high', 20 * MiB)
  const other = await guarded(t, own, { delayMs: LONG })
  t.equal(high(own), 20 * MiB, 'a lower one of its owner stays')
  await other.guard.dispose()
  t.equal(high(own), 20 * MiB)

  const none = scratch(t)
  const third = await guarded(t, none, { delayMs: LONG })
  t.equal(high(none), Infinity, 'without a limit there is no line')
  await third.guard.dispose()
})

t.test('hold.band sets the distance of the line from the limit', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  await guarded(t, dir, { delayMs: LONG, hold: { band: '8M' } })
  t.equal(high(dir), 24 * MiB)
})

t.test('fallback: members that wait below the limit', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const guard = await guarded(t, dir, { delayMs: 500, hold: { band: '8M', freeze: 'never' } })
  const hog = await hogIn(t, dir)
  hog.fill(25 * MiB).catch(() => {})
  const end = await (await guard.next()).ended
  t.match(end, { outcome: 'fallback', kernelKills: 1 })
  t.same(await hog.exited, [null, 'SIGKILL'])
  t.equal(max(dir), LIMIT)
})

t.test('raiseLimit moves line and limit together, and all members go on', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const guard = await guarded(t, dir, { delayMs: LONG, hold: { freeze: 'always' } })
  const { lived } = await overfill(t, dir)
  const episode = await guard.next()
  await until(() => frozen(dir))
  const { code } = await failure(episode.raiseLimit(LIMIT))
  t.equal(code, 'ERR_LIMIT_NOT_RAISED')
  await episode.raiseLimit({ by: LIMIT })
  t.match(await episode.ended, { outcome: 'limit-raised', killed: [], steps: [] })
  t.ok(await lived)
  t.equal(max(dir), 2 * LIMIT)
  t.equal(high(dir), 2 * LINE)
  t.notOk(frozen(dir))
})

t.test('a limit that others raise in an episode, or move before one', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const guard = await guarded(t, dir, { delayMs: LONG })
  write(dir, 'memory.max', 16 * MiB)
  await until(() => high(dir) === 14 * MiB)
  write(dir, 'memory.max', LIMIT)
  await until(() => high(dir) === LINE)
  write(dir, 'memory.high', LINE - MiB)
  const { lived } = await overfill(t, dir)
  const episode = await guard.next()
  t.equal(high(dir), LINE - MiB, "the owner's throttling is his")
  write(dir, 'memory.high', 'max')
  write(dir, 'memory.max', 2 * LIMIT)
  t.match(await episode.ended, { outcome: 'limit-raised' })
  t.ok(await lived)
  t.equal(high(dir), 2 * LINE)
  await guard.guard.dispose()
  t.equal(high(dir), Infinity)
})

t.test(
  'an idle group does not wake the sentinel, and a line that another process moves is restored',
  onV2(WHY),
  async t => {
    const dir = scratch(t, LIMIT)
    await guarded(t, dir, { delayMs: LONG })
    const sentinel = readdirSync('/proc/self/task').find(
      tid => readFileSync(`/proc/self/task/${tid}/comm`, 'utf8') === 'oom-sentinel\n',
    )!
    const woken = (): number => {
      const status = readFileSync(`/proc/self/task/${sentinel}/status`, 'utf8')
      return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)![1])
    }
    // What is left of arming.
    for (let last = -1; last !== woken(); await sleep(1000)) last = woken()
    const before = woken()
    // The clock is what is tested: that time alone does not wake it, but for a sweep every 10 s.
    await sleep(4000)
    t.ok(woken() - before <= 2, `${woken() - before} wake-ups in 4 s`)

    write(dir, 'memory.high', 'max')
    await until(() => high(dir) === LINE)
    // Counted when it sleeps again.
    await until(() => woken() - before > 0)
  },
)

t.test('hold.freeze decides whether members are frozen', onV2(WHY), async t => {
  for (const freeze of ['if-needed', 'always', 'never'] as const) {
    const dir = scratch(t, 2 * LIMIT)
    const guard = await guarded(t, dir, { delayMs: LONG, hold: { band: '24M', freeze } })
    const hog = await hogIn(t, dir)
    hog.fill(4 * LIMIT).catch(() => {})
    const episode = await guard.next()
    if (freeze === 'never') {
      // So far past the line that it creeps, as the others do not get.
      await until(() => usage(dir) > 43 * MiB)
      t.notOk(frozen(dir), freeze)
    } else {
      await until(() => frozen(dir))
    }
    t.ok(usage(dir) < max(dir), freeze)
    t.notOk(episode.signal.aborted, freeze)
    t.equal(field(dir, 'memory.events', 'oom_kill'), 0)
    await guard.guard.dispose()
    t.ok(asFound(dir), freeze)
    t.match(await episode.ended, { outcome: 'cancelled' })
  }
})

t.test('a thin band holds because the members are frozen', onV2(WHY), async t => {
  const dir = scratch(t, 2 * LIMIT)
  const guard = await guarded(t, dir, { delayMs: 3000, hold: { band: '2M' } })
  const hog = await hogIn(t, dir)
  hog.fill(4 * LIMIT).catch(() => {})
  const episode = await guard.next()
  const end = await episode.ended
  t.match(end, { outcome: 'fallback', kernelKills: 1 })
  t.ok(end.at >= episode.deadline, 'it has lived to the deadline')
})

t.test(
  'plan: headroom raises limit and line, freeze stops the members, all is restored',
  onV2(WHY),
  async t => {
    const dir = scratch(t, LIMIT)
    const guard = await guarded(t, dir, {
      delayMs: 10_000,
      fallback: 'kill-group',
      plan: [
        { afterMs: 300, action: 'headroom', bytes: LIMIT },
        { afterMs: 5000, action: 'freeze' },
      ],
    })
    const { lived } = await overfill(t, dir)
    const episode = await guard.next()
    await until(() => high(dir) === 2 * LINE)
    t.equal(max(dir), 2 * LIMIT)
    t.ok(await lived, 'with headroom there is room')
    await until(() => frozen(dir))
    t.match(await episode.ended, {
      outcome: 'fallback',
      steps: [{ action: 'headroom', errno: 0 }, { action: 'freeze', errno: 0 }, {}],
    })
    await until(() => max(dir) === LIMIT && high(dir) === LINE && !frozen(dir))
  },
)

t.test('with dryRun or a delay of 0 the group is not held', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const dry = await guarded(t, dir, { delayMs: LONG, dryRun: true })
  t.ok(asFound(dir))
  await dry.guard.dispose()
  const { guard } = await guarded(t, dir, { delayMs: LONG })
  guard.setDelay(0)
  t.ok(asFound(dir))
  guard.setDelay(LONG)
  await until(() => high(dir) === LINE)
})

t.test('groups below have a hold of their own, new ones too', onV2(WHY), async t => {
  const dir = scratch(t, 4 * LIMIT)
  const old = child(dir, 'old', LIMIT)
  const guard = await guarded(t, dir, { delayMs: LONG })
  t.equal(high(old), LINE)
  const young = child(dir, 'young', LIMIT)
  await until(() => high(young) === LINE)
  const open = child(dir, 'open')
  t.equal(high(open), Infinity)
  await guard.guard.dispose()
  t.ok([dir, old, young, open].every(asFound))
})

t.test('a held group is marked: a second guard is refused', onV2(WHY), async t => {
  const dir = scratch(t, LIMIT)
  const { guard } = await guarded(t, dir, { delayMs: LONG })
  const group = await openGroup(t, dir)
  t.match(await failure(group.guard({ delayMs: 1 })), { code: 'ERR_KILLER_DISABLED' })
  t.equal(high(dir), LINE)
  await guard.dispose()
  t.ok(asFound(dir))
})

t.test('the guardian, when its parent is killed or stopped', onV2(WHY), async t => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    const dir = scratch(t, LIMIT)
    const remote = await Remote.start(t, { home: scratch(t) })
    await remote.guard(dir, { delayMs: 5000, hold: { freeze: 'always' } })
    const { lived } = await overfill(t, dir)
    await remote.event('episode')
    await until(() => frozen(dir))
    process.kill(remote.pid, signal)
    t.notOk(await lived, signal)
    await until(() => !frozen(dir) && max(dir) === LIMIT)
    if (signal === 'SIGSTOP') {
      process.kill(remote.pid, 'SIGCONT')
      t.match(await remote.event('ended'), { outcome: 'guardian' })
      await remote.run('await guards[0].dispose()')
    }
    await until(() => asFound(dir))
  }
})

t.test(
  'the guardian restores an idle group, and releases the members of a stopped process',
  onV2(WHY),
  async t => {
    const dir = scratch(t, LIMIT)
    write(dir, 'memory.high', LINE - MiB)
    const remote = await Remote.start(t, { home: scratch(t) })
    await remote.guard(dir, { delayMs: LONG, hold: { freeze: 'always' } })
    const { lived } = await overfill(t, dir)
    await remote.event('episode')
    await until(() => frozen(dir))
    process.kill(remote.pid, 'SIGSTOP')
    write(dir, 'memory.high', 'max')
    write(dir, 'memory.max', 2 * LIMIT)
    t.ok(await lived, 'a raised limit holds no member')
    process.kill(remote.pid, 'SIGKILL')
    await until(() => pids(remote.home).length === 0)
    t.notOk(frozen(dir))
  },
)

t.test('a group that this process is in is never frozen', onV2(WHY), async t => {
  const group = await openGroup(t, mount)
  t.match(await failure(group.guard({ delayMs: 1 })), { code: 'ERR_ROOT_GROUP' })
  const home = scratch(t, 512 * MiB)
  const remote = await Remote.start(t, { home })
  const plan = [{ afterMs: 0, action: 'headroom', bytes: MiB }] as const
  await t.rejects(remote.guard(home, { delayMs: 100, plan, hold: { freeze: 'always' } }), {
    code: 'ERR_SELF_IN_GROUP',
  })
  t.ok(asFound(home))
  await remote.guard(home, { delayMs: 100, plan })
  t.equal(high(home), 480 * MiB)
})

t.test('page cache many times the limit is no OOM', onV2(WHY), async t => {
  const disk = diskDir(t)
  if (disk === undefined) return t.pass('no disk here')
  const dir = scratch(t, LIMIT)
  const { guard } = await guarded(t, dir, { delayMs: 1000, fallback: 'kill-group' })
  await cacheLoad(dir, disk, { files: 3, mib: 40, rounds: 2 })
  t.ok(field(dir, 'memory.events', 'high') > 0, 'it has passed the line all the time')
  t.equal(guard.stats.episodes, 0)
  t.equal(field(dir, 'memory.events', 'oom_kill'), 0)
})
