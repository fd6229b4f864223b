// The plan: each step, their order, and what a step that fails changes. And the killing fallbacks.
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { constants, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { PlanStep } from '../../../lib/index.js'
import { spawn } from '../../../lib/index.js'
import { Freezer, freezerOf, hasFrozen, setFrozen } from '../../helpers/freezer.js'
import { failure, guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { hogIn } from '../../helpers/hog.js'
import { helperProgram } from '../../helpers/program.js'
import {
  canReclaim,
  hasMemsw,
  isHeld,
  limit,
  limitOf,
  MEMSW,
  memswOf,
  MiB,
  onV1,
  underOom,
  write,
} from '../../helpers/memory-files.js'
import { plainChild, scratch, until } from '../../helpers/scratch.js'
import { mountOf } from '../../helpers/twin.js'

const LONG = 60_000

for (const fallback of ['kernel', 'kill-largest', 'kill-group'] as const) {
  t.test(`fallback ${fallback}`, async t => {
    const dir = scratch(t, 16 * MiB)
    const g = await guarded(t, dir, { delayMs: 200, fallback })
    const small = await hogIn(t, dir)
    await small.fill(2 * MiB)
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    const episode = await g.next()
    const end = await episode.ended
    t.match(end, { outcome: 'fallback', steps: [{ action: fallback, errno: 0, dryRun: false }] })
    t.equal(end.steps.length, 1)
    t.ok(end.steps[0]!.at >= episode.deadline, 'never before the deadline')
    t.ok(end.lateNs >= 0)
    t.equal(g.guard.stats.worstLateNs, end.lateNs)
    const killed = { kernel: [], 'kill-largest': [hog.pid], 'kill-group': [small.pid, hog.pid] }
    t.same(new Set(end.killed), new Set(killed[fallback]))
    t.equal(end.kernelKills, fallback === 'kernel' ? 1 : 0)
    t.same(await hog.exited, [null, 'SIGKILL'])
    if (fallback === 'kill-group') t.same(await small.exited, [null, 'SIGKILL'])
    else t.equal(small.child.exitCode ?? small.child.signalCode, null)
    t.ok(isHeld(dir), 'armed again')
    const next = await hogIn(t, dir)
    next.fill(24 * MiB).catch(() => {})
    t.equal((await (await g.next()).ended).outcome, 'fallback', 'and a second time')
  })
}

t.test('headroom raises the limit for the episode, which is restored afterwards', async t => {
  const dir = scratch(t, 16 * MiB)
  if (hasMemsw(dir)) write(dir, MEMSW, 20 * MiB)
  const g = await guarded(t, dir, {
    delayMs: LONG,
    reserve: { headroom: '8M' },
    plan: [{ afterMs: 0, action: 'headroom' }],
  })
  const hog = await hogIn(t, dir)
  const filled = hog.fill(20 * MiB)
  const episode = await g.next()
  t.equal(await filled, 20 * MiB, 'it goes on')
  t.equal(limitOf(dir), 24 * MiB)
  if (hasMemsw(dir)) t.equal(memswOf(dir), 24 * MiB)
  t.notOk(episode.signal.aborted, 'but over what it may have: the clock goes on')
  await hog.free()
  t.match(await episode.ended, { outcome: 'plan', steps: [{ action: 'headroom', errno: 0 }] })
  await until(() => limitOf(dir) === 16 * MiB)
  if (hasMemsw(dir)) await until(() => memswOf(dir) === 20 * MiB)
  // And again.
  const again = hog.fill(20 * MiB)
  const second = await g.next()
  t.equal(await again, 20 * MiB)
  t.match(second, { id: 2, limit: 16 * MiB })
  await hog.end()
  await second.ended
  await until(() => limitOf(dir) === 16 * MiB)
})

t.test(
  'if the limit cannot be restored yet, it is lowered as far as possible, and tried again',
  async t => {
    const dir = scratch(t, 16 * MiB)
    const g = await guarded(t, dir, {
      delayMs: LONG,
      plan: [{ afterMs: 0, action: 'headroom', bytes: 16 * MiB }],
    })
    const big = await hogIn(t, dir)
    const filled = big.fill(18 * MiB)
    const episode = await g.next()
    await filled
    t.equal(limitOf(dir), 32 * MiB)
    // Not waiting, but over: cancelled with the memory still in use.
    g.guard.setDelay(0)
    t.equal((await episode.ended).outcome, 'cancelled')
    await until(() => limitOf(dir) < 24 * MiB)
    t.ok(limitOf(dir) >= 18 * MiB, 'lowered as far as possible')
    await big.end()
    await until(() => limitOf(dir) === 16 * MiB)
  },
)

t.test('at the deadline the headroom does not count', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, {
    delayMs: 2000,
    plan: [{ afterMs: 0, action: 'headroom', bytes: 16 * MiB }],
  })
  const hog = await hogIn(t, dir)
  await hog.fill(20 * MiB)
  const episode = await g.next()
  hog.fill(20 * MiB).catch(() => {})
  const end = await episode.ended
  t.equal(end.outcome, 'fallback')
  t.same(await hog.exited, [null, 'SIGKILL'])
  await until(() => limitOf(dir) === 16 * MiB)
})

t.test('a limit that is raised during an episode with headroom is kept', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, {
    delayMs: LONG,
    plan: [{ afterMs: 0, action: 'headroom', bytes: 8 * MiB }],
  })
  const hog = await hogIn(t, dir)
  await hog.fill(18 * MiB)
  let episode = await g.next()
  // Within the headroom: the limit is not written now, but kept at the end.
  await episode.raiseLimit('22M')
  t.equal((await episode.ended).outcome, 'limit-raised')
  await until(() => limitOf(dir) === 22 * MiB)
  await hog.fill(6 * MiB)
  episode = await g.next()
  t.equal(episode.limit, 22 * MiB)
  t.equal(limitOf(dir), 30 * MiB)
  if (hasMemsw(dir)) write(dir, MEMSW, 64 * MiB)
  limit(dir, 64 * MiB)
  t.equal((await episode.ended).outcome, 'limit-raised')
  await g.guard.dispose()
  t.equal(limitOf(dir), 64 * MiB)
})

t.test('reclaim: of memory that cannot be reclaimed', async t => {
  const dir = scratch(t, 24 * MiB)
  const plan: PlanStep[] = [{ afterMs: 0, action: 'reclaim' }]
  if (!canReclaim(dir)) {
    const group = await openGroup(t, dir)
    t.match(await failure(group.guard({ delayMs: LONG, plan })), { code: 'ENOENT' })
    return t.notOk(isHeld(dir))
  }
  // Older kernels try it 16 times, a tenth of a second apart.
  const tries = /^5\.1?\d\./.test(release())
  const g = await guarded(t, dir, { delayMs: tries ? 3000 : 300, plan })
  const hog = await hogIn(t, dir)
  hog.fill(32 * MiB).catch(() => {})
  const end = await (await g.next()).ended
  t.match(end.steps[0], { action: 'reclaim' })
  t.equal(end.outcome, 'fallback', 'there was nothing to reclaim')
})

t.test('signal: all, the largest, one pid; never this process', async t => {
  for (const to of ['all', 'largest', 'pid'] as const) {
    const dir = scratch(t, 16 * MiB)
    const small = await hogIn(t, dir)
    await small.fill(2 * MiB)
    const hog = await hogIn(t, dir)
    await hog.fill(8 * MiB)
    const step: PlanStep = {
      afterMs: 0,
      action: 'signal',
      signal: 'SIGCONT',
      to: to === 'pid' ? small.pid : to,
    }
    const g = await guarded(t, dir, { delayMs: 200, plan: [step] })
    hog.fill(24 * MiB).catch(() => {})
    const end = await (await g.next()).ended
    const expected = { all: [small.pid, hog.pid], largest: [hog.pid], pid: [small.pid] }[to]
    t.match(end.steps[0], { action: 'signal', errno: 0 })
    t.same(new Set(end.steps[0]!.killed), new Set(expected), to)
    t.same(end.killed, [], 'signalled, not killed')
    t.equal(end.outcome, 'fallback')
  }
})

for (const action of ['kill-largest', 'kill-group', 'kernel'] as const) {
  t.test(`plan: ${action}`, async t => {
    const dir = scratch(t, 16 * MiB)
    const small = await hogIn(t, dir)
    await small.fill(2 * MiB)
    const g = await guarded(t, dir, { delayMs: LONG, plan: [{ afterMs: 20, action }] })
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    const episode = await g.next()
    const end = await episode.ended
    t.match(end, { outcome: 'plan', lateNs: 0, steps: [{ action, errno: 0 }] })
    t.equal(end.steps.length, 1)
    t.ok(end.steps[0]!.at >= episode.startedAt + 20_000_000n)
    const killed = { kernel: [], 'kill-largest': [hog.pid], 'kill-group': [small.pid, hog.pid] }
    t.same(new Set(end.killed), new Set(killed[action]))
    t.equal(end.kernelKills, action === 'kernel' ? 1 : 0)
  })
}

t.test('an end lists each signal with its process and its sender', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, {
    delayMs: 1500,
    fallback: 'kill-group',
    plan: [{ afterMs: 0, action: 'signal', signal: 'SIGURG', to: 'largest' }],
  })
  const [small, large] = [await hogIn(t, dir), await hogIn(t, dir)]
  await small.fill(2 * MiB)
  large.fill(24 * MiB).catch(() => {})
  const episode = await g.next()
  const called = process.hrtime.bigint()
  t.same(await episode.kill(small.pid, { signal: 'SIGWINCH' }), [small.pid])
  t.same(await episode.kill('largest', { signal: 'SIGCONT' }), [large.pid])
  await t.rejects(episode.kill(process.pid, { signal: 'SIGCONT' }), { code: 'ESRCH' })
  const end = await episode.ended
  t.equal(end.outcome, 'fallback')
  const by = (who: string) => end.signalled.filter(one => one.by === who)
  t.match(by('plan'), [{ pid: large.pid, signal: 'SIGURG' }])
  t.match(by('program'), [
    { pid: small.pid, signal: 'SIGWINCH' },
    { pid: large.pid, signal: 'SIGCONT' },
  ])
  t.same(
    new Set(by('fallback').map(one => `${one.pid} ${one.signal}`)),
    new Set([`${small.pid} SIGKILL`, `${large.pid} SIGKILL`]),
  )
  t.equal(end.signalled.length, 5)
  t.ok(by('program').every(({ at }) => at >= called && at < end.at))
  t.ok(by('fallback').every(({ at }) => at >= episode.deadline))
  const times = end.signalled.map(({ at }) => at)
  t.same(
    times,
    [...times].sort((a, b) => Number(a - b)),
    'in order',
  )
  t.same(new Set(end.killed), new Set([small.pid, large.pid]), 'only SIGKILL is a kill')
  t.match(end.steps, [
    { action: 'signal', signal: 'SIGURG' },
    { action: 'kill-group', signal: 'SIGKILL' },
  ])
})

t.test('a job that obeys SIGTERM: the outcome, and the signal', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: LONG })
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await g.next()
  t.same(await episode.kill('all', { signal: 'SIGTERM' }), [hog.pid])
  // A member that waits for memory dies of it once it has some, or at once.
  await episode.raiseLimit({ by: '16M' }).catch(() => {})
  t.same(await hog.exited, [null, 'SIGTERM'])
  const { outcome, killed, signalled } = await episode.ended
  t.ok(['signalled', 'limit-raised'].includes(outcome), outcome)
  t.same(killed, [])
  t.match(signalled, [{ pid: hog.pid, signal: 'SIGTERM', by: 'program' }])
})

t.test('steps run in order, one after the other, and a failing one stops nothing', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, {
    delayMs: 3000,
    plan: [
      { afterMs: 30, action: 'signal', signal: 'SIGCONT' },
      { afterMs: 0, action: 'signal', signal: 'SIGCONT', to: 1 },
      { afterMs: 10, action: 'signal', signal: 'SIGKILL', to: process.pid },
      { afterMs: 30, action: 'headroom', bytes: '64K' },
      { afterMs: 60, action: 'signal', signal: 'SIGCONT', to: 'largest' },
    ],
  })
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await g.next()
  const end = await episode.ended
  t.match(end.steps, [
    { action: 'signal', code: 'ESRCH' },
    { action: 'signal', code: 'EPERM' },
    { action: 'signal', errno: 0 },
    { action: 'headroom', errno: 0 },
    { action: 'signal', errno: 0 },
    { action: 'kernel' },
  ])
  const after = end.steps.map(step => Number(step.at - episode.startedAt) / 1e6)
  t.same(
    [...after].sort((a, b) => a - b),
    after,
  )
  for (const [i, ms] of [0, 10, 30, 30, 60].entries()) t.ok(after[i]! >= ms)
  t.equal(end.outcome, 'fallback')
})

t.test(
  'a step that has not answered at the end is in its steps, as running',
  onV1('its freezer takes threads'),
  async t => {
    const dir = scratch(t, 16 * MiB)
    const g = await guarded(t, dir, { delayMs: LONG, plan: [{ afterMs: 0, action: 'reclaim' }] })
    // The threads that carry out steps stand still.
    const threads = freezerOf(t, scratch(t))
    const tasks = `/proc/${process.pid}/task`
    const helpers = readdirSync(tasks).filter(
      tid => readFileSync(`${tasks}/${tid}/comm`, 'utf8').trim() === 'oom-helper',
    )
    t.equal(helpers.length, 4)
    for (const tid of helpers) write(threads, 'tasks', tid)
    setFrozen(threads, true)
    const thaw = () => {
      setFrozen(threads, false)
      for (const tid of helpers) write(mountOf('freezer')!, 'tasks', tid)
    }
    try {
      await until(() => hasFrozen(threads))
      const hog = await hogIn(t, dir)
      const filled = hog.fill(24 * MiB)
      const episode = await g.next()
      await episode.raiseLimit('64M')
      const end = await episode.ended
      t.equal(end.outcome, 'limit-raised')
      t.match(end.steps, [
        { action: 'reclaim', errno: -constants.errno.EINPROGRESS, code: 'EINPROGRESS', killed: [] },
      ])
      t.equal(end.steps.length, 1)
      t.equal(await filled, 24 * MiB)
    } finally {
      thaw()
    }
  },
)

t.test('ballast is freed in the group that this process is in, and refilled', async t => {
  const dir = scratch(t)
  // In a child: the group will be full, and this process must not hang.
  const program = helperProgram('ballast-program')
  const child = spawn(process.execPath, [...process.execArgv, program, dir], {
    group: await openGroup(t, dir),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let out = ''
  child.stdout.setEncoding('utf8').on('data', data => (out += data))
  t.same(await once(child, 'exit'), [0, null], out)
  t.match(JSON.parse(out), { outcome: 'plan', steps: [{ action: 'ballast', errno: 0 }] })
})

t.test('freeze: no freezer group, nothing armed', onV1('on v2 each group has one'), async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await openGroup(t, dir)
  const plan: PlanStep[] = [{ afterMs: 0, action: 'freeze' }]
  t.match(await failure(group.guard({ delayMs: LONG, plan })), { code: 'ERR_NO_FREEZER' })
  t.notOk(isHeld(dir))
})

t.test('freeze: members are frozen, and thawed at the end', async t => {
  const dir = scratch(t, 16 * MiB)
  // In a group below, which the kernel reports as frozen: a task that waits for memory is never frozen.
  const below = plainChild(dir, 'below')
  const freezer = new Freezer(t, dir)
  const freezerBelow = new Freezer(t, below)
  const other = await hogIn(t, below)
  const hog = await hogIn(t, dir)
  freezer.add(hog.pid)
  freezerBelow.add(other.pid)
  const plan: PlanStep[] = [{ afterMs: 0, action: 'freeze' }]
  const g = await guarded(t, dir, { delayMs: LONG, plan, hold: { freeze: 'never' } })
  const filled = hog.fill(24 * MiB)
  const episode = await g.next()
  await until(() => freezerBelow.stands())
  let answered = false
  const forked = other.fork().then(() => (answered = true))
  // A process outside that gets its request later has answered before.
  await (await hogIn(t)).fork()
  t.notOk(answered)
  await episode.raiseLimit('64M')
  t.equal((await episode.ended).outcome, 'limit-raised')
  await forked
  t.equal(await filled, 24 * MiB)
  await until(() => !freezer.requested() && !freezerBelow.stands())
})

for (const how of ['kill', 'kill-group', 'kernel', 'dispose'] as const) {
  t.test(`frozen members are thawed to die: ${how}`, async t => {
    const dir = scratch(t, 16 * MiB)
    const freezer = new Freezer(t, dir)
    const other = await hogIn(t, dir)
    const hog = await hogIn(t, dir)
    for (const { pid } of [other, hog]) freezer.add(pid)
    const g = await guarded(t, dir, {
      delayMs: how === 'kill-group' || how === 'kernel' ? 300 : LONG,
      fallback: how === 'kill-group' ? 'kill-group' : 'kernel',
      plan: [{ afterMs: 0, action: 'freeze' }],
    })
    hog.fill(24 * MiB).catch(() => {})
    const episode = await g.next()
    await until(() => freezer.requested())
    if (how === 'kill') await episode.kill('all')
    if (how === 'dispose') await g.guard.dispose()
    const { outcome } = await episode.ended
    t.equal(outcome, { kill: 'killed', dispose: 'cancelled' }[how as 'kill'] ?? 'fallback')
    t.same(await hog.exited, [null, 'SIGKILL'])
    await until(() => !freezer.requested())
  })
}

t.test('a heap snapshot of a Node.js job, then its end', async t => {
  const dir = scratch(t, 96 * MiB, 400)
  const group = await openGroup(t, dir)
  const where = mkdtempSync(join(tmpdir(), 'cgroup-oom-test-'))
  t.teardown(() => rmSync(where, { recursive: true }))
  const g = await guarded(t, dir, {
    delayMs: 300_000,
    reserve: { headroom: '512M' },
    plan: [
      { afterMs: 0, action: 'headroom' },
      { afterMs: 0, action: 'signal', signal: 'SIGUSR2' },
    ],
  })
  const leak = `const kept = []; setInterval(() => {
    if (process.memoryUsage().rss < 200e6) kept.push(Buffer.alloc(1e6, 1))
  }, 1)`
  const start = () => {
    const child = spawn(process.execPath, ['--heapsnapshot-signal=SIGUSR2', '-e', leak], {
      group,
      cwd: where,
      stdio: 'inherit',
    })
    t.teardown(() => child.kill('SIGKILL'))
    return child
  }
  const complete = (): boolean => {
    const name = readdirSync(where).find(file => file.endsWith('.heapsnapshot'))
    const text = name === undefined ? '' : readFileSync(join(where, name), 'utf8')
    try {
      // Parsed only at what may be its end, since it is read often.
      return text.trimEnd().endsWith('}') && Boolean(JSON.parse(text))
    } catch {
      return false // it is still being written
    }
  }
  // Garbage that is freed for the snapshot may end an episode, and the headroom may be in use again before
  // the limit is restored: then try another job.
  for (;;) {
    const child = start()
    const episode = await g.next()
    await until(() => episode.signal.aborted || complete())
    if (episode.signal.aborted) {
      const { outcome } = await episode.ended
      if (outcome !== 'recovered' && outcome !== 'plan') return t.fail(outcome)
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
      for (const file of readdirSync(where)) rmSync(join(where, file))
      await until(() => limitOf(dir) === 96 * MiB)
      continue
    }
    t.match(await episode.kill('all'), [child.pid])
    t.match(await episode.ended, {
      outcome: 'killed',
      killed: [child.pid],
      steps: [
        { action: 'headroom', errno: 0 },
        { action: 'signal', errno: 0, killed: [child.pid] },
      ],
    })
    break
  }
  t.ok(complete())
  await until(() => limitOf(dir) === 96 * MiB)
  t.notOk(underOom(dir))
})
