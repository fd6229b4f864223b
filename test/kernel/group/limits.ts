// Usage, limits in the order that the kernel accepts, counters, reclaim.
// lab: short on v1
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import { Hog } from '../../helpers/hog.js'
import {
  isHeld,
  limitOf,
  memswOf,
  MiB,
  onV1,
  underOom,
  version,
  write,
} from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'

// What v2 has instead is in v2.ts.
const apart = onV1('the same of other files: v2.ts')

t.test('usage follows what is used', async t => {
  const dir = scratch(t)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const group = await MemoryGroup.open(dir)
  const before = await group.usage()
  await hog.fill(24 * MiB)
  t.ok((await group.usage()) - before >= 23 * MiB)
})

t.test('the limits of a group without any are Infinity', apart, async t => {
  const group = await MemoryGroup.open(scratch(t))
  t.strictSame(await group.limits(), { max: Infinity, swapMax: Infinity })
})

t.test(
  'raising and lowering both limits, in any order',
  onV1('memory and swap are limited together'),
  async t => {
    const dir = scratch(t)
    const group = await MemoryGroup.open(dir)
    for (const [limits, wantMax, wantMemsw] of [
      [{ max: '16M', swapMax: '8M' }, 16, 24],
      [{ max: '64M', swapMax: '8M' }, 64, 72], // above the old memsw: memsw first
      [{ max: '16M', swapMax: 0 }, 16, 16], // memsw below the old limit: limit first
      [{ swapMax: '16M' }, 16, 32],
      [{ max: '128M' }, 128, 144], // what may be swapped stays
      [{ max: '8M' }, 8, 24],
      [{ max: '20M', swapMax: '1M' }, 20, 21], // up and down
      [{}, 20, 21],
    ] as const) {
      await group.setLimits(limits)
      t.equal(limitOf(dir), wantMax * MiB, JSON.stringify(limits))
      t.equal(memswOf(dir), wantMemsw * MiB)
      t.strictSame(await group.limits(), {
        max: wantMax * MiB,
        swapMax: (wantMemsw - wantMax) * MiB,
      })
    }
    await group.setLimits({ max: 'max' })
    t.strictSame(await group.limits(), { max: Infinity, swapMax: Infinity })
    await group.setLimits({ max: 5 * MiB + 1, swapMax: Infinity })
    t.strictSame(await group.limits(), { max: 5 * MiB, swapMax: Infinity }, 'whole pages')
  },
)

// The other limit that a group of the version has.
const other = version === 1 ? 'swapMax' : 'high'

t.test('any sequence of limits is accepted and read back', async t => {
  const group = await MemoryGroup.open(scratch(t))
  const size = fc.integer({ min: 1024, max: 1 << 20 }).map(pages => pages * 4096)
  const step = fc.record({
    max: size,
    [other]: fc.oneof(fc.constant(0), fc.constant(Infinity), size),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async steps => {
      for (const limits of steps) {
        await group.setLimits(limits)
        const now = await group.limits()
        t.strictSame({ max: now.max, [other]: now[other] }, { ...limits })
      }
    }),
    { numRuns: 25 },
  )
})

t.test('changes at once do not mix, and none is refused', async t => {
  const group = await MemoryGroup.open(scratch(t))
  const a = { max: 16 * MiB, [other]: 0 }
  const b = { max: 256 * MiB, [other]: 64 * MiB }
  for (let i = 0; i < 20; i++) {
    await Promise.all(Array.from({ length: 100 }, (_, n) => group.setLimits(n % 2 ? a : b)))
    const now = await group.limits()
    t.ok([a.max, b.max].includes(now.max))
    t.equal(now[other], now.max === a.max ? a[other] : b[other])
  }
})

t.test('limits that v1 does not have are refused', onV1('v2 has them'), async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await MemoryGroup.open(dir)
  const unsupported = { name: 'OomError', code: 'ERR_CGROUP_UNSUPPORTED' }
  await t.rejects(group.setLimits({ max: '8M', high: '4M' }), {
    ...unsupported,
    message: /memory\.high/,
  })
  await t.rejects(group.setLimits({ max: '8M', oomGroup: true }), unsupported)
  await t.rejects(group.setLimits({ max: 'max', swapMax: 0 }), { ...unsupported, message: /swap/ })
  t.equal(limitOf(dir), 16 * MiB, 'nothing was written')
  for (const bad of [undefined, null, 1, []]) {
    await t.rejects(group.setLimits(bad as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  await t.rejects(group.setLimits({ max: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(group.setLimits({ max: '8M', oomGroup: 1 as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  t.equal(limitOf(dir), 16 * MiB)
})

t.test('EBUSY is explained, and the limits written before are restored', apart, async t => {
  const dir = scratch(t, 64 * MiB)
  const group = await MemoryGroup.open(dir)
  await group.setLimits({ swapMax: '32M' })
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  await hog.fill(32 * MiB)
  await t.rejects(group.setLimits({ max: '8M' }), {
    name: 'OomError',
    code: 'EBUSY',
    errno: -16,
    syscall: 'write',
    path: join(dir, 'memory.limit_in_bytes'),
    message: /could not reclaim enough: free or kill first/,
  })
  t.strictSame(await group.limits(), { max: 64 * MiB, swapMax: 32 * MiB })
  // memsw goes up first, then the limit is refused: memsw has to come down again.
  await t.rejects(group.setLimits({ max: '8M', swapMax: '1G' }), { code: 'EBUSY' })
  t.equal(memswOf(dir), 96 * MiB)
  t.strictSame(await group.limits(), { max: 64 * MiB, swapMax: 32 * MiB })
})

t.test('counters have failures, kills and the OOM state', apart, async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await MemoryGroup.open(dir)
  t.strictSame(await group.counters(), { oomKill: 0, max: 0, underOom: false })
  write(dir, 'memory.oom_control', 1)
  const hog = await Hog.start(dir)
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  const during = await group.counters()
  t.match(during, { oomKill: 0, underOom: true })
  t.ok(during.max! > 0)
  write(dir, 'memory.oom_control', 0)
  await t.rejects(filled)
  await hog.exited
  t.match(await group.counters(), { oomKill: 1, underOom: false })
})

t.test('raising the limit ends an out-of-memory', onV1('a killer can be disabled'), async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await MemoryGroup.open(dir)
  await group.setLimits({ swapMax: 0 })
  write(dir, 'memory.oom_control', 1)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  await group.setLimits({ max: '64M' })
  t.equal(await filled, 24 * MiB)
  t.ok(isHeld(dir), 'and touches nothing else')
})

t.test('reclaim frees page cache, and returns how much', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const file = join(tmpdir(), `cgroup-oom-test-${process.pid}`)

  t.teardown(() => execFileSync('rm', ['-f', file]))
  closeSync(openSync(file, 'w'))
  const script =
    'echo $$ > "$1/cgroup.procs" && dd if=/dev/zero of="$2" bs=1M count=16 conv=fsync status=none'
  execFileSync('sh', ['-c', script, 'sh', dir, file])
  const before = await group.usage()
  const TMPFS = 0x01021994
  if (before < 12 * MiB || (version === 2 && statfsSync(tmpdir()).type === TMPFS))
    return t.pass('this file system keeps no page cache')
  t.equal(await group.reclaim(0), 0)
  t.equal(await group.usage(), before, 'reclaim of 0 bytes changes nothing')
  const freed = await group.reclaim('8M')
  t.ok(freed >= 8 * MiB)
  t.ok((await group.usage()) <= before - freed + MiB)
  t.type(await group.reclaim('max'), 'number')
  for (const bad of [undefined, null, {}]) {
    await t.rejects(group.reclaim(bad as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  await t.rejects(group.reclaim(-1), { code: 'ERR_OUT_OF_RANGE' })
})
