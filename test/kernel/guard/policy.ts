// guard({ policy }): a raise for an episode each, then the plan; with the program's own thread at work or blocked.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { MemoryGroup } from '../../../lib/index.js'
import { guarded } from '../../helpers/guard.js'
import { hogIn } from '../../helpers/hog.js'
import { limitOf, MiB } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { scratch } from '../../helpers/scratch.js'

t.test('raised once, then asked, then killed', async t => {
  const dir = scratch(t, 16 * MiB)
  const { guard, next } = await guarded(t, dir, {
    delayMs: 60_000,
    policy: [{ raise: '16M' }, { signal: 'SIGURG', waitMs: 50 }, 'kill-group'],
  }).then(g => ({ guard: g.guard, next: () => g.next() }))
  const hog = await hogIn(t, dir)
  const fill = hog.fill(24 * MiB)
  t.match(await (await next()).ended, { outcome: 'limit-raised', steps: [] })
  t.equal(await fill, 24 * MiB)
  t.equal(limitOf(dir), 32 * MiB, 'for good')
  hog.fill(64 * MiB).catch(() => {})
  const { outcome, steps, killed, signalled } = await (await next()).ended
  t.equal(outcome, 'plan')
  t.match(steps, [{ action: 'signal', signal: 'SIGURG' }, { action: 'kill-group' }])
  t.same(killed, [hog.pid])
  t.match(signalled, [
    { by: 'plan', signal: 'SIGURG' },
    { by: 'plan', signal: 'SIGKILL' },
  ])
  t.equal(limitOf(dir), 32 * MiB)
  t.equal(guard.stats.episodes, 2)
})

t.test('a program that does not get to raise: the plan follows natively', async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, {
    delayMs: 60_000,
    policy: [{ raise: '64M' }, 'kill-group'],
  })
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  // Blocks this thread until the hog has been killed.
  spawnSync('sh', [
    '-c',
    `while grep -q '^State:.[^ZX]' /proc/${hog.pid}/status; do :; done 2>/dev/null`,
  ])
  const { outcome, killed } = await (await g.next()).ended
  t.equal(outcome, 'plan')
  t.same(killed, [hog.pid])
  t.equal(limitOf(dir), 16 * MiB, 'not raised for a job that has been killed')
})

t.test('it is raised also where the program has closed the group', async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await MemoryGroup.open(dir)
  const guard = await group.guard({
    delayMs: 60_000,
    guardian: false,
    policy: [{ raise: '16M' }, 'kill-group'],
  })
  t.teardown(() => guard.dispose())
  await group.close()
  const hog = await hogIn(t, dir)
  const fill = hog.fill(24 * MiB)
  for await (const { ended } of guard) {
    t.match(await ended, { outcome: 'limit-raised', steps: [] })
    break
  }
  t.equal(await fill, 24 * MiB)
})

t.test('a raise that cannot be written is refused, held by signals too', async t => {
  const dir = scratch(t, 64 * MiB)
  const remote = await Remote.start(t, { nobody: true })
  const policy = [{ raise: '16M' }, 'kill-group']
  for (const by of ['signals', 'auto']) {
    const options = { delayMs: 100, policy, hold: { by } }
    await t.rejects(remote.guard(dir, options as never), { code: 'EACCES' }, by)
  }
  const own = await MemoryGroup.open(dir)
  const guard = await own.guard({ delayMs: 100, hold: { by: 'signals' }, policy: [{ raise: 1 }] })
  await guard.dispose()
  await own.close()
})
