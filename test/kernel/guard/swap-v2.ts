// The hold of v2 where memory can be swapped: no OOM as long as there is room, by the machine's swap
// and by the group's own limit of it. And that limit, memory.swap.max.
// lab: short on 6.1/v2
import '../../helpers/v2-only.js'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failure, guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { frozen, high, max, usage } from '../../helpers/hold.js'
import { Hog } from '../../helpers/hog.js'
import { field, MiB, read, write } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { freeSwap, inLab, swapOn } from '../../helpers/swap.js'

const LONG = 60_000
const LIMIT = 32 * MiB
const SWAP = 48 * MiB
/** What the kernel's batches, and the residue that the hold does not count, may make of it. */
const CLOSE = 2 * MiB

const lab = { skip: inLab ? false : "only in the lab's machine: switches swap on" }
const swapMax = 'memory.swap.max'
const swapped = (dir: string): number => Number(read(dir, 'memory.swap.current'))
const kills = (dir: string): number => field(dir, 'memory.events', 'oom_kill')

async function hogIn(t: Test, dir: string): Promise<Hog> {
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  return hog
}

/** Fills, without waiting; whether it came to the end. */
const fill = (hog: Hog, bytes: number): Promise<boolean> =>
  hog.fill(bytes).then(
    () => true,
    () => false,
  )

t.test("no episode until the machine's swap is full", lab, async t => {
  const dir = scratch(t, LIMIT)
  swapOn(t, SWAP)
  const guard = await guarded(t, dir, { delayMs: LONG })
  const hog = await hogIn(t, dir)
  await hog.fill(LIMIT + SWAP / 2)
  t.ok(swapped(dir) > SWAP / 2 - CLOSE, 'it has swapped')
  t.equal(guard.guard.stats.episodes, 0)
  const lived = fill(hog, SWAP)
  // Where the last page of swap is still being written, a page is free again, and an episode over.
  let end
  do {
    const episode = await guard.next()
    t.ok(freeSwap() < CLOSE, `${freeSwap()} bytes of swap were left`)
    t.equal(kills(dir), 0)
    await episode.yield().catch(() => {})
    end = await episode.ended
  } while (end.outcome === 'recovered')
  t.match(end, { outcome: 'fallback', kernelKills: 1 })
  t.notOk(await lived)
  await until(() => high(dir) === LIMIT - 2 * MiB && max(dir) === LIMIT && !frozen(dir))
})

for (const whose of ['its own', 'that of a group above'] as const) {
  t.test(`the limit of swap, ${whose}, is what there is room in`, lab, async t => {
    swapOn(t, SWAP)
    const above = scratch(t)
    const dir = child(above, 'below', LIMIT)
    const limited = whose === 'its own' ? dir : above
    write(limited, swapMax, 16 * MiB)
    const guard = await guarded(t, dir, { delayMs: LONG, hold: { freeze: 'always' } })
    const hog = await hogIn(t, dir)
    await hog.fill(LIMIT + 8 * MiB)
    t.equal(guard.guard.stats.episodes, 0, 'no episode while there is room')
    const lived = fill(hog, 12 * MiB)
    const episode = await guard.next()
    t.ok(swapped(limited) > 16 * MiB - CLOSE, `${swapped(limited)} swapped`)
    t.ok(freeSwap() > SWAP / 2)
    await until(() => frozen(dir))
    t.equal(kills(dir), 0)
    // More room ends it: no process has to be killed, and all go on.
    write(limited, swapMax, 32 * MiB)
    t.match(await episode.ended, { outcome: 'recovered', killed: [], kernelKills: 0 })
    t.ok(await lived)
    t.notOk(frozen(dir))
    // On 6.12 one more has been seen to begin and end while the new room was being filled.
    t.equal(kills(dir), 0)
    t.comment(`${guard.guard.stats.episodes} episodes`)
    await guard.guard.dispose()
    t.equal(high(dir), Infinity)
  })
}

t.test('setLimits({ swapMax }) in an episode', lab, async t => {
  const dir = scratch(t, LIMIT)
  swapOn(t, SWAP)
  write(dir, swapMax, 0)
  const guard = await guarded(t, dir, { delayMs: LONG })
  const lived = fill(await hogIn(t, dir), LIMIT + 8 * MiB)
  const episode = await guard.next()
  t.equal(swapped(dir), 0, 'without a right to it, swap is no room')
  await guard.guard.group.setLimits({ swapMax: '32M' })
  t.match(await episode.ended, { outcome: 'recovered' })
  t.ok(await lived)
})

t.test('memory that is read back from swap, round and round', lab, async t => {
  const dir = scratch(t, LIMIT)
  swapOn(t, SWAP)
  write(dir, swapMax, 20 * MiB)
  const { guard } = await guarded(t, dir, { delayMs: LONG })
  const hog = await hogIn(t, dir)
  await hog.fill(LIMIT + 8 * MiB)
  for (let round = 0; round < 3; round++) await hog.again()
  t.equal(guard.stats.episodes, 0, 'it all fits')
})

t.test('an allowance of swap is no room if the machine has no swap', async t => {
  if (inLab) t.equal(freeSwap(), 0, 'none on this machine')
  const dir = scratch(t, LIMIT)
  if (existsSync(join(dir, swapMax))) t.equal(read(dir, swapMax), 'max\n')
  const guard = await guarded(t, dir, { delayMs: LONG })
  void fill(await hogIn(t, dir), LIMIT + 8 * MiB)
  const episode = await guard.next()
  t.ok(usage(dir) >= LIMIT - 4 * MiB)
  await episode.kill('all')
  t.match(await episode.ended, { outcome: 'killed' })
})

const accounted = (dir: string): boolean => existsSync(join(dir, swapMax))

t.test('swapMax is set and read back with the others, all or none', async t => {
  const dir = scratch(t)
  if (!accounted(dir)) return t.pass('no swap accounting: group-v2')
  const group = await openGroup(t, dir)
  for (const [limits, wantMax, wantSwap] of [
    [{ max: '32M', swapMax: '8M' }, 32 * MiB, 8 * MiB],
    [{ swapMax: 'max' }, 32 * MiB, Infinity],
    [{ max: '64M', swapMax: MiB + 1 }, 64 * MiB, MiB],
    [{ max: '16M', swapMax: '16M' }, 16 * MiB, 16 * MiB],
    [{ max: 'max', swapMax: 0 }, Infinity, 0],
  ] as const) {
    await group.setLimits(limits)
    t.match(await group.limits(), { max: wantMax, swapMax: wantSwap }, JSON.stringify(limits))
  }
})

t.test('lowering max swaps as far as swapMax allows, and kills no process', lab, async t => {
  const dir = scratch(t, 64 * MiB)
  swapOn(t, SWAP)
  const group = await openGroup(t, dir)
  const hog = await hogIn(t, dir)
  await hog.fill(32 * MiB)
  t.match(await failure(group.setLimits({ max: '16M', swapMax: '4M' })), { code: 'EBUSY' })
  t.match(await group.limits(), { max: 64 * MiB, swapMax: Infinity }, 'all or none')
  await group.setLimits({ max: '16M', swapMax: '32M' })
  t.ok(swapped(dir) >= 15 * MiB)
  t.ok((await group.usage()) <= 16 * MiB)
  // Below what is swapped already: nothing is swapped in, and no more goes out.
  await group.setLimits({ swapMax: 0 })
  t.match(await failure(group.setLimits({ max: '8M' })), { code: 'EBUSY' })
  t.equal(kills(dir), 0)
  t.equal(hog.child.exitCode ?? hog.child.signalCode, null)
})
