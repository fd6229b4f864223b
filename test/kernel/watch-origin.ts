// Whose limit it was: an OOM is told to the group that had it and to all below it.
import '../helpers/v1-only.js'
import t from 'tap'
import { existsSync } from 'node:fs'
import { MemoryGroup, type OomOrigin } from '../../lib/index.js'
import { Hog } from '../helpers/hog.js'
import { child, MiB, scratch, underOom, until, write } from '../helpers/scratch.js'
import { killedIn, upTo } from '../helpers/watching.js'

/**
 * The origins that each of the groups is told when `dir` is filled until `full` is out of memory. With
 * the killer disabled, so that it lasts until it has been looked at: on a slow machine a victim may be
 * gone before, and its memory with it. Then it is 'unknown'.
 */
async function origins(
  dirs: string[],
  dir: string,
  full: string,
  bytes = 64 * MiB,
): Promise<OomOrigin[]> {
  const groups = await Promise.all(dirs.map(d => MemoryGroup.open(d)))
  const watches = groups.map(group => group.watch())
  write(full, 'memory.oom_control', 1)
  const hog = await Hog.start(dir)
  hog.fill(bytes).catch(() => {})
  const told = await Promise.all(watches.map(watch => upTo(watch, 'oom', 1)))
  await hog.end()
  write(full, 'memory.oom_control', 0)
  for (const watch of watches) await watch.return()
  for (const group of groups) await group.close()
  return told.map(([event]) => {
    if (event?.type !== 'oom' || event.count !== 1) throw new Error(JSON.stringify(event?.type))
    return event.origin
  })
}

t.test("an ancestor's limit", async t => {
  const parent = scratch(t, 16 * MiB)
  const below = child(parent, 'below')
  const limited = child(parent, 'limited', 32 * MiB)
  const sibling = child(parent, 'sibling')
  t.strictSame(await origins([parent, below, limited, sibling], below, parent), [
    'self',
    'ancestor',
    'ancestor',
    'ancestor',
  ])
  t.strictSame(await origins([parent, limited], limited, parent), ['self', 'ancestor'])
})

t.test("a group's own limit is nobody else's business", async t => {
  const parent = scratch(t, 64 * MiB)
  const below = child(parent, 'below', 8 * MiB)
  const deeper = child(below, 'deeper')
  await using group = await MemoryGroup.open(parent)
  await using watch = group.watch()
  t.strictSame(await origins([below, deeper], deeper, below, 16 * MiB), ['self', 'ancestor'])
  // Its own one comes first.
  await killedIn(parent, 128 * MiB)
  t.match((await watch.next()).value, { type: 'oom', count: 1, origin: /self|unknown/ })
})

t.test('both at their limit: not the ancestor’s alone; with the killer disabled', async t => {
  const parent = scratch(t, 16 * MiB)
  const below = child(parent, 'below', 16 * MiB)
  {
    await using group = await MemoryGroup.open(below)
    await using watch = group.watch()
    await killedIn(below)
    t.match((await watch.next()).value, { type: 'oom', origin: /self|unknown/ })
  }
  write(parent, 'memory.limit_in_bytes', 32 * MiB)
  write(below, 'memory.oom_control', 1)
  await using group = await MemoryGroup.open(below)
  await using watch = group.watch()
  const hog = await Hog.start(below)
  const filled = t.rejects(hog.fill(64 * MiB))
  await until(() => underOom(below))
  t.match((await watch.next()).value, { type: 'oom', origin: 'self' })
  await hog.end()
  await filled
})

t.test('memory and swap together', async t => {
  const parent = scratch(t)
  if (!existsSync(`${parent}/memory.memsw.limit_in_bytes`)) return t.plan(0, 'no swap accounting')
  write(parent, 'memory.limit_in_bytes', 16 * MiB)
  write(parent, 'memory.memsw.limit_in_bytes', 16 * MiB)
  const below = child(parent, 'below')
  t.strictSame(await origins([parent, below], below, parent), ['self', 'ancestor'])
})

t.test('an ancestor after an own one, and the other way round', async t => {
  const parent = scratch(t, 32 * MiB)
  const below = child(parent, 'below', 8 * MiB)
  for (let i = 0; i < 3; i++) {
    t.strictSame(await origins([below], below, below, 16 * MiB), ['self'])
    t.strictSame(await origins([below], parent, parent), ['ancestor'])
  }
  // The same watch all the time: what it has seen of its own before is not taken for the ancestor's.
  await using group = await MemoryGroup.open(below)
  await using watch = group.watch()
  for (let i = 0; i < 3; i++) {
    for (const dir of [below, parent]) {
      write(dir, 'memory.oom_control', 1)
      const hog = await Hog.start(dir)
      hog.fill(64 * MiB).catch(() => {})
      const origin = dir === below ? 'self' : 'ancestor'
      t.match((await upTo(watch, 'oom', 1)).at(-1), { type: 'oom', origin })
      await hog.end()
      write(dir, 'memory.oom_control', 0)
    }
  }
})
