// Usage thresholds in per cent of the limit, which move with the limit. Sampled on v1 as on v2.
// lab: short on 6.1/v2
import t from 'tap'
import { rmdirSync } from 'node:fs'
import { MemoryGroup, type UsageEvent } from '../../../lib/index.js'
import { hogIn } from '../../helpers/hog.js'
import { limit, MiB, mount, usageOf } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'
import { openFds, rest } from '../../helpers/watching.js'

const next = async (events: AsyncIterator<UsageEvent>) => (await events.next()).value as UsageEvent

t.test('a crossing is reported in both directions, with the bytes of the share', async t => {
  const dir = scratch(t, 64 * MiB)
  await using group = await MemoryGroup.open(dir)
  const usage = group.watchUsage('25%')
  const hog = await hogIn(t, dir)
  for (let i = 0; i < 2; i++) {
    await hog.fill(24 * MiB)
    const up = await next(usage)
    t.match(up, { type: 'usage', group: dir, threshold: 16 * MiB, above: true, count: 1 })
    t.ok(up.usage >= 16 * MiB)
    await hog.free()
    const down = await next(usage)
    t.match(down, { threshold: 16 * MiB, above: false, count: 1 })
    t.ok(down.usage < 16 * MiB)
  }
  await usage.return()
})

t.test('when the limit changes, the threshold moves, and usage may cross it that way', async t => {
  const dir = scratch(t, 64 * MiB)
  await using group = await MemoryGroup.open(dir)
  const usage = group.watchUsage('62.5%')
  const hog = await hogIn(t, dir)
  await hog.fill(24 * MiB)
  t.ok(usageOf(dir) < 40 * MiB)
  // By another program, and by this one.
  limit(dir, 32 * MiB)
  t.match(await next(usage), { above: true, threshold: 20 * MiB })
  await group.setLimits({ max: '128M' })
  t.match(await next(usage), { above: false, threshold: 80 * MiB })
  await group.setLimits({ max: '32M' })
  t.match(await next(usage), { above: true, threshold: 20 * MiB })
  limit(dir, 'max')
  t.match(await next(usage), { above: false, threshold: Infinity }, 'no limit: no share of it')
  limit(dir, 32 * MiB)
  t.match(await next(usage), { above: true, threshold: 20 * MiB }, 'nor is the watch over then')
  await usage.return()
})

t.test('the whole of the limit is reached, not passed', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  const usage = group.watchUsage('90%')
  const guard = await group.guard({
    delayMs: 60_000,
    hold: { band: 65536, freeze: 'always' },
  })
  // Past 90 % and below the line: with more than that the kernel may be first, and the job gone before it is seen.
  const hog = await hogIn(t, dir)
  await hog.fill(15 * MiB)
  t.match(await next(usage), { above: true, threshold: Math.floor(16 * MiB * 0.9) })
  await guard.dispose()
  await hog.end()
  t.match(await next(usage), { above: false })
})

t.test('without a limit it is refused before anything is opened', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  await using other = group.watch()
  t.ok(other)
  const before = openFds()
  t.throws(() => group.watchUsage('80%'), {
    name: 'OomError',
    code: 'ERR_NO_LIMIT',
    path: dir,
    message: /setLimits/,
  })
  await using root = await MemoryGroup.open(mount)
  t.throws(() => root.watchUsage('80%'), { code: 'ERR_NO_LIMIT' })
  await root.close()
  // Descriptors of what came before may still be closed meanwhile.
  t.ok(openFds() <= before)
  for (const wrong of ['0%', '100.1%', '1000%', '%', '8 %', '-1%']) {
    t.throws(
      () => group.watchUsage(wrong),
      { code: /^ERR_(OUT_OF_RANGE|INVALID_ARG_VALUE)$/ },
      wrong,
    )
  }
})

t.test('the removal ends it, and a group that is gone is none without a limit', async t => {
  const dir = scratch(t, 64 * MiB)
  await using group = await MemoryGroup.open(dir)
  const usage = group.watchUsage('50%')
  rmdirSync(dir)
  t.strictSame(await rest(usage), [])
  t.throws(() => group.watchUsage('50%'), { code: /^(ENOENT|ENODEV)$/ })
  await group.close()
  t.throws(() => group.watchUsage('50%'), { code: 'ERR_CLOSED' })
})
