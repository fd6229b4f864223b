// Usage thresholds: reported in both directions, joined until they are taken, ended by removal.
// lab: short on v1
import t from 'tap'
import { rmdirSync } from 'node:fs'
import { MemoryGroup, type UsageEvent } from '../../../lib/index.js'
import { Hog } from '../../helpers/hog.js'
import { MiB, onV1 } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'
import { openFds, rest } from '../../helpers/watching.js'

t.test('a crossing is reported in both directions', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  const before = process.hrtime.bigint()
  const usage = group.watchUsage('16M')
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  for (let i = 0; i < 3; i++) {
    await hog.fill(24 * MiB)
    const { value: up } = await usage.next()
    t.match(up, { type: 'usage', group: dir, threshold: 16 * MiB, above: true, count: 1 })
    t.ok(up!.usage >= 16 * MiB && up!.at > before)
    await hog.free()
    const { value: down } = await usage.next()
    t.match(down, { above: false, count: 1 })
    t.ok(down!.usage < 16 * MiB)
  }
  await usage.return()
})

t.test(
  'joined crossings have the time of the first and the value of the last',
  onV1('each crossing is reported'),
  async t => {
    const dir = scratch(t)
    await using group = await MemoryGroup.open(dir)
    const usage = group.watchUsage(16 * MiB)
    const seen = group.watchUsage(16 * MiB)
    const hog = await Hog.start(dir)
    t.teardown(() => hog.end())
    let first: UsageEvent | undefined
    for (let i = 0; i < 4; i++) {
      await hog.fill(24 * MiB)
      first ??= (await seen.next()).value
      await hog.free()
    }
    await seen.return()
    // The eighth is on its way to the first as well.
    let { value } = await usage.next()
    let count = value!.count
    const early = value
    while (count < 8) {
      value = (await usage.next()).value
      count += value!.count
    }
    t.equal(count, 8)
    t.notOk(value!.above)
    t.ok(early!.at <= first!.at + 1_000_000_000n)
    await usage.return()
  },
)

t.test('the removal ends it and is no crossing', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  const first = group.watchUsage(4 * MiB)
  const before = openFds()
  const all = group.watchUsage(4 * MiB)
  t.ok(openFds() > before)
  rmdirSync(dir)
  t.strictSame(await rest(all), [])
  t.strictSame(await rest(first), [])
  t.ok(openFds() < before)
})

t.test('signal, break and return() end it at once', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  await using other = group.watch()
  t.ok(other)
  const before = openFds()
  const control = new AbortController()
  const aborted = group.watchUsage(MiB, { signal: control.signal })
  const returned = group.watchUsage(MiB)
  const pending = aborted.next()
  control.abort('why')
  await t.rejects(pending, { name: 'AbortError', cause: 'why' })
  await returned.return()
  t.equal(openFds(), before)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const left = group.watchUsage(8 * MiB)
  const filled = hog.fill(16 * MiB)
  for await (const event of left) {
    t.ok(event.above)
    break
  }
  await filled
})

t.test('wrong arguments are refused', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  for (const size of [undefined, null, {}, [], true]) {
    t.throws(() => group.watchUsage(size as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  for (const size of [-1, 1.5, NaN, Infinity]) {
    t.throws(() => group.watchUsage(size), { code: 'ERR_OUT_OF_RANGE' }, String(size))
  }
  t.throws(() => group.watchUsage(1, { signal: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => group.watchUsage(1, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  rmdirSync(dir)
  t.throws(() => group.watchUsage(1), { code: /^(ENOENT|ENODEV)$/ })
  await group.close()
  t.throws(() => group.watchUsage(1), { code: 'ERR_CLOSED' })
})
