// Whose limit it was: the group that had an OOM is notified and, of those below, on v1 all and on v2 those
// that lost a member to it.
import t from 'tap'
import { MemoryGroup, type OomOrigin } from '../../../lib/index.js'
import { Hog } from '../../helpers/hog.js'
import { hasMemsw, limit, MEMSW, MiB, onV1, version, write } from '../../helpers/memory-files.js'
import { child, scratch } from '../../helpers/scratch.js'
import { killedIn, total, upTo } from '../../helpers/watching.js'

/**
 * v1: so that an OOM lasts until it has been sampled. On a slow machine a victim may be gone before,
 * and its memory with it: then it is 'unknown'. v2 has counters, which stay.
 */
function last(dir: string, does: boolean): void {
  if (version === 1) write(dir, 'memory.oom_control', Number(does))
}

/** The origins that are reported for each of the groups when `dir` is filled until `full` is out of memory. */
async function origins(
  dirs: string[],
  dir: string,
  full: string,
  bytes = 64 * MiB,
): Promise<OomOrigin[]> {
  const groups = await Promise.all(dirs.map(d => MemoryGroup.open(d)))
  const watches = groups.map(group => group.watch())
  last(full, true)
  const hog = await Hog.start(dir)
  hog.fill(bytes).catch(() => {})
  const reported = await Promise.all(watches.map(watch => upTo(watch, 'oom', 1)))
  await hog.end()
  last(full, false)
  for (const watch of watches) await watch.return()
  for (const group of groups) await group.close()
  return reported.map(([event]) => {
    // v2 may count more than one until it has killed.
    if (event?.type !== 'oom' || (version === 1 && event.count !== 1)) {
      throw new Error(JSON.stringify(event?.type))
    }
    return event.origin
  })
}

t.test("an OOM at an ancestor's limit has the origin 'ancestor'", async t => {
  const parent = scratch(t, 16 * MiB)
  const below = child(parent, 'below')
  const limited = child(parent, 'limited', 32 * MiB)
  const sibling = child(parent, 'sibling')
  t.strictSame(await origins([parent, below], below, parent), ['self', 'ancestor'])
  t.strictSame(await origins([parent, limited], limited, parent), ['self', 'ancestor'])
  if (version === 1) {
    t.strictSame(await origins([limited, sibling], below, parent), ['ancestor', 'ancestor'])
  } else {
    await using group = await MemoryGroup.open(sibling)
    await using watch = group.watch()
    await killedIn(below)
    await killedIn(sibling)
    const events = await upTo(watch, 'kill', 1)
    t.equal(total(events, 'oom'), 1, 'not reported if no member of it was killed')
  }
})

t.test("an OOM at a group's own limit is reported to no other group", async t => {
  const parent = scratch(t, 64 * MiB)
  const below = child(parent, 'below', 8 * MiB)
  const deeper = child(below, 'deeper')
  const beside = child(parent, 'beside')
  await using group = await MemoryGroup.open(parent)
  await using watch = group.watch()
  t.strictSame(await origins([below, deeper], deeper, below, 16 * MiB), ['self', 'ancestor'])
  // Its own one comes first.
  await killedIn(beside, 128 * MiB)
  t.match((await watch.next()).value, { type: 'oom', origin: /self|unknown/ })
})

t.test('the group above never met its limit: the OOM is certainly the own one', async t => {
  const parent = scratch(t, 64 * MiB)
  const below = child(parent, 'below', 8 * MiB)
  for (let i = 0; i < 5; i++) {
    await using group = await MemoryGroup.open(below)
    await using watch = group.watch()
    await killedIn(below)
    t.match((await watch.next()).value, { type: 'oom', origin: 'self' })
  }
})

const counted = onV1('v2 counts whose limit it was, and of two that are equal it is either')
t.test('if both are at their limit, the OOM is not the ancestor’s alone', counted, async t => {
  const parent = scratch(t, 16 * MiB)
  const below = child(parent, 'below', 16 * MiB)
  {
    await using group = await MemoryGroup.open(below)
    await using watch = group.watch()
    await killedIn(below)
    t.match((await watch.next()).value, { type: 'oom', origin: /self|unknown/ })
  }
  limit(parent, 32 * MiB)
  t.strictSame(await origins([below], below, below), ['self'])
})

t.test(
  'a limit of memory and swap together is an own limit, too',
  onV1('v2 limits them apart'),
  async t => {
    const parent = scratch(t)
    if (!hasMemsw(parent)) return t.plan(0, 'no swap accounting')
    write(parent, 'memory.limit_in_bytes', 16 * MiB)
    write(parent, MEMSW, 16 * MiB)
    const below = child(parent, 'below')
    t.strictSame(await origins([parent, below], below, parent), ['self', 'ancestor'])
  },
)

t.test("an ancestor's OOM after an own one is distinguished, and the other way round", async t => {
  const parent = scratch(t, 32 * MiB)
  const below = child(parent, 'below')
  const OWN = 8 * MiB
  for (let i = 0; i < 3; i++) {
    limit(below, OWN)
    t.strictSame(await origins([below], below, below), ['self'])
    limit(below, 'max')
    t.strictSame(await origins([below], below, parent), ['ancestor'])
  }
  // The same watch all the time: what it has seen of its own before is not taken for the ancestor's.
  await using group = await MemoryGroup.open(below)
  await using watch = group.watch()
  for (let i = 0; i < 3; i++) {
    for (const [dir, origin] of [
      [below, 'self'],
      [parent, 'ancestor'],
    ] as const) {
      limit(below, dir === below ? OWN : 'max')
      last(dir, true)
      const hog = await Hog.start(below)
      hog.fill(64 * MiB).catch(() => {})
      // The kill comes last: after it no more is reported of this one.
      const events = await upTo(watch, version === 1 ? 'oom' : 'kill', 1)
      const ooms = events.filter(event => event.type === 'oom')
      t.ok(ooms.length > 0 && ooms.every(event => event.origin === origin), origin)
      await hog.end()
      last(dir, false)
    }
  }
})
