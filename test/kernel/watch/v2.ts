// Watching on v2: whose OOM it was, what a group below has to do with it, limits that are met.
// lab: short on v2
import '../../helpers/v2-only.js'
import { rmdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MemoryGroup, watchTree, type OomEvent } from '../../../lib/index.js'
import { Hog } from '../../helpers/hog.js'
import { field, limit, MiB, write } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { follow, killedIn, removeAtOnce, rest, total, types, upTo } from '../../helpers/watching.js'

const of = (events: readonly OomEvent[], group: string): OomEvent[] =>
  events.filter(event => 'group' in event && event.group === group)
const origins = (events: OomEvent[]): string[] => [
  ...new Set(events.flatMap(event => (event.type === 'oom' ? event.origin : []))),
]

async function endedIn(dir: string, bytes?: number): Promise<void> {
  const hog = await killedIn(dir, bytes)
  await hog.exited
}

t.test('counts are those of memory.events.local', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  const watch = group.watch()
  for (let i = 0; i < 10; i++) await (await killedIn(dir)).exited
  const ooms = field(dir, 'memory.events.local', 'oom')
  const reported = await upTo(watch, 'kill', 10)
  removeAtOnce(dir)
  const events = [...reported, ...(await rest(watch))]
  t.equal(total(events, 'oom'), ooms)
  t.equal(total(events, 'kill'), 10)
  t.strictSame(origins(events), ['self'])
  t.match(events.at(-1), { type: 'removed', counters: { oom: ooms, oomKill: 10 } })
})

t.test('an OOM of a group below is not reported as this one’s', async t => {
  const dir = scratch(t)
  const below = child(dir, 'below', 8 * MiB)
  await using group = await MemoryGroup.open(dir)
  const watch = group.watch()
  await killedIn(below)
  await until(() => field(dir, 'memory.events', 'oom_kill') === 1)
  // Then one of its own, whose victim is a member of the group below: it is all that is reported.
  limit(below, 'max')
  limit(dir, 16 * MiB)
  await killedIn(below)
  const ooms = field(dir, 'memory.events.local', 'oom')
  const reported = await upTo(watch, 'oom', ooms)
  removeAtOnce(below)
  removeAtOnce(dir)
  const events = [...reported, ...(await rest(watch))]
  t.equal(total(events, 'oom'), ooms)
  t.strictSame([...new Set(types(events))], ['oom', 'removed'])
})

t.test('an OOM of a group above is reported to the group that lost a member', async t => {
  const dir = scratch(t, 16 * MiB)
  const below = child(dir, 'below')
  const sibling = child(dir, 'sibling')
  const watch = watchTree(dir)
  await watch.ready
  const { seen, ended } = follow(watch)
  await killedIn(below)
  await until(() => total(of(seen, below), 'kill') > 0 && total(of(seen, dir), 'oom') > 0)
  for (const one of [below, sibling, dir]) removeAtOnce(one)
  await ended
  t.strictSame(origins(of(seen, dir)), ['self'])
  t.equal(total(of(seen, dir), 'kill'), 0)
  t.strictSame(origins(of(seen, below)), ['ancestor'])
  t.equal(total(of(seen, below), 'oom'), 1)
  t.equal(total(of(seen, below), 'kill'), 1)
  t.strictSame(types(of(seen, sibling)), ['removed'])
})

t.test('one after another: its own is not taken for that of the group above', async t => {
  const dir = scratch(t, 16 * MiB)
  const below = child(dir, 'below', 8 * MiB)
  await using group = await MemoryGroup.open(below)
  await using watch = group.watch()
  for (let i = 0; i < 3; i++) {
    limit(below, 'max')
    await killedIn(below)
    t.strictSame(origins(await upTo(watch, 'kill', 1)), ['ancestor'])
    limit(below, 8 * MiB)
    await killedIn(below)
    t.strictSame(origins(await upTo(watch, 'kill', 1)), ['self'])
  }
})

// What it opened at an OOM was charged to the full group, and Linux 7.3 killed it for that, each time. What else it
// touches there is charged as well, so that now and then the kernel's choice falls on it all the same.
async function survives(t: Test, top: string, name: string): Promise<boolean> {
  const home = child(top, name, 160 * MiB)
  const remote = await Remote.start(t, { home })
  await remote.run(`
    const watch = oom.watchTree(${JSON.stringify(top)})
    await watch.ready
    globalThis.kills = 0
    const read = async () => {
      for await (const event of watch) if (event.type === 'kill') kills = event.counters.oomKill
    }
    read()`)
  const gone = remote.exited.then(() => true)
  for (let round = 1; round <= 3; round++) {
    await endedIn(home, 320 * MiB)
    const told = until(async () => (await remote.run('return kills')) === round)
    if (
      await Promise.race([
        gone,
        told.then(
          () => false,
          () => true,
        ),
      ])
    )
      return false
  }
  return true
}

t.test('a supervisor that lives in a full group of its tree survives', async t => {
  const top = scratch(t)
  let survived = false
  for (let n = 0; n < 5 && !survived; n++) survived = await survives(t, top, `home-${n}`)
  t.ok(survived)
})

t.test('the counters of a group are right when groups below it come and go', async t => {
  const dir = scratch(t, 64 * MiB)
  const inner = child(dir, 'inner')
  const killedBelow = async (name: string): Promise<void> => {
    await endedIn(child(inner, name, 8 * MiB))
    rmdirSync(join(inner, name))
    // Else it may have no members of its own.
    write(inner, 'cgroup.subtree_control', '-memory')
  }
  await killedBelow('before')
  const watch = watchTree(dir)
  await watch.ready
  const { seen, ended } = follow(watch)
  const counted = () =>
    of(seen, inner).flatMap(event => (event.type === 'kill' ? event.counters.oomKill : []))
  const killed = async (): Promise<number> => {
    limit(inner, 16 * MiB)
    await endedIn(inner)
    limit(inner, 'max')
    return field(inner, 'memory.events', 'oom_kill')
  }
  t.equal(await killed(), 2)
  await until(() => counted().includes(2))
  await killedBelow('during')
  t.equal(await killed(), 4)
  await until(() => counted().includes(4))
  t.same(counted(), [2, 4])
  removeAtOnce(inner)
  removeAtOnce(dir)
  await ended
})

t.test('each kill is counted when the kernel kills the whole group', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  await group.setLimits({ oomGroup: true })
  await using watch = group.watch()
  const other = await Hog.start(dir)
  await killedIn(dir)
  await other.exited
  const killed = field(dir, 'memory.events.local', 'oom_kill')
  t.equal(total(await upTo(watch, 'kill', killed), 'kill'), killed)
})

t.test('high and max are reported where requested', async t => {
  const dir = scratch(t, 24 * MiB)
  write(dir, 'memory.high', 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  const quiet = group.watch()
  await using watch = group.watch({ events: ['high', 'max'] })
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  hog.fill(18 * MiB).catch(() => {})
  const seen = await upTo(watch, 'high', 1)
  t.match(seen.at(-1), { type: 'high', group: dir })
  write(dir, 'memory.high', 'max')
  await hog.end()
  await killedIn(dir)
  t.ok(total(await upTo(watch, 'max', 1), 'max') >= 1)
  removeAtOnce(dir)
  for (const { type } of await rest(quiet)) t.ok(['oom', 'kill', 'removed'].includes(type), type)
})

t.test('the removal of groups that were never used is reported', async t => {
  const dir = scratch(t)
  const groups = Array.from({ length: 20 }, (_, i) => child(dir, String(i)))
  const opened = await Promise.all(groups.map(path => MemoryGroup.open(path)))
  const watches = opened.map(group => rest(group.watch()))
  for (const path of groups) rmdirSync(path)
  for (const events of await Promise.all(watches)) t.strictSame(types(events), ['removed'])
  for (const group of opened) await group.close()
})

t.test('the hierarchy’s root may be the root of a tree', async t => {
  const watch = watchTree('.')
  await watch.ready
  const dir = scratch(t, 8 * MiB)
  const { seen, ended } = follow(watch)
  await killedIn(dir)
  await until(() => types(of(seen, dir)).includes('kill'))
  removeAtOnce(dir)
  await until(() => types(of(seen, dir)).includes('removed'))
  await watch.return()
  await ended
  t.strictSame(
    types(of(seen, dir)).filter(type => type !== 'oom'),
    ['kill', 'removed'],
  )
})
