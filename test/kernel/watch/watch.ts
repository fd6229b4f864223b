// Watching one group, against the real kernel: what is reported, how often, and what is not.
import t from 'tap'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync, rmdirSync } from 'node:fs'
import { MemoryGroup, type OomEvent } from '../../../lib/index.js'
import { EventFd, registerEvent } from '../../../lib/primitives.js'
import { Hog } from '../../helpers/hog.js'
import {
  field,
  killsIn,
  limit,
  MiB,
  onV1,
  underOom,
  version,
  write,
} from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'
import { follow, killedIn, removeAtOnce, rest, total, types, upTo } from '../../helpers/watching.js'

t.test('an OOM and the kill are reported, then the removal', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  const before = process.hrtime.bigint()
  const watch = group.watch()
  const hog = await Hog.start(dir)
  await t.rejects(hog.fill(32 * MiB))
  const oom = (await watch.next()).value
  t.match(oom, { type: 'oom', group: dir, origin: /self|unknown/ })
  t.ok(oom!.at > before && oom!.at < process.hrtime.bigint())
  const kill = (await upTo(watch, 'kill', 1)).at(-1)
  t.match(kill, { type: 'kill', group: dir, count: 1, counters: { oomKill: 1 } })
  await hog.exited
  rmdirSync(dir)
  t.match((await watch.next()).value, { type: 'removed', group: dir })
  t.strictSame(await watch.next(), { value: undefined, done: true })
})

t.test('a removal is no OOM', async t => {
  for (let i = 0; i < 5; i++) {
    const dir = scratch(t, 16 * MiB)
    await using group = await MemoryGroup.open(dir)
    const watch = group.watch()
    rmdirSync(dir)
    t.strictSame(types(await rest(watch)), ['removed'])
  }
})

t.test('an OOM, a kill and a removal in quick succession are all reported', async t => {
  for (let i = 0; i < 10; i++) {
    const dir = scratch(t, 8 * MiB)
    await using group = await MemoryGroup.open(dir)
    const watch = group.watch()
    await killedIn(dir, 16 * MiB)
    removeAtOnce(dir)
    const events = await rest(watch)
    // On a busy machine the kernel may notify a second time before the victim is gone.
    t.ok(total(events, 'oom') >= 1, JSON.stringify(types(events)))
    t.equal(events.at(-1)!.type, 'removed')
    t.equal(types(events)[0], 'oom')
  }
})

t.test(
  'an OOM whose victim another process kills and whose group is removed at once',
  onV1('a killer can be disabled'),
  async t => {
    for (let i = 0; i < 10; i++) {
      const dir = scratch(t, 8 * MiB)
      write(dir, 'memory.oom_control', 1)
      await using group = await MemoryGroup.open(dir)
      const watch = group.watch()
      const hog = await Hog.start(dir)
      const filled = t.rejects(hog.fill(16 * MiB))
      while (!underOom(dir));
      process.kill(hog.pid, 'SIGKILL')
      removeAtOnce(dir)
      await filled
      const events = await rest(watch)
      t.strictSame(types(events), ['oom', 'removed'])
      t.match(events[0], { count: 1, origin: /self|unknown/ })
    }
  },
)

t.test('an OOM from before the watch is not reported', async t => {
  const dir = scratch(t, 8 * MiB)
  await using group = await MemoryGroup.open(dir)
  const hog = await killedIn(dir)
  await hog.exited
  const watch = group.watch()
  removeAtOnce(dir)
  const events = await rest(watch)
  t.strictSame(types(events), ['removed'])
  t.match(events[0], { counters: { oomKill: 1 } })
})

t.test(
  'an OOM that still lasts when the watch begins is not reported; the next one is',
  onV1('a killer can be disabled'),
  async t => {
    const dir = scratch(t, 8 * MiB)
    write(dir, 'memory.oom_control', 1)
    await using group = await MemoryGroup.open(dir)
    const hog = await Hog.start(dir)
    t.teardown(() => hog.end())
    const filled = hog.fill(16 * MiB)
    await until(() => underOom(dir))
    await using watch = group.watch()
    write(dir, 'memory.limit_in_bytes', 24 * MiB)
    await filled
    t.notOk(underOom(dir))
    const more = t.rejects(hog.fill(16 * MiB))
    t.match((await watch.next()).value, { type: 'oom', count: 1, counters: { underOom: true } })
    await hog.end()
    await more
    removeAtOnce(dir)
    t.strictSame(types(await rest(watch)), ['removed'])
  },
)

t.test('of many OOMs in a row none is lost or reported twice', async t => {
  const dir = scratch(t, 4 * MiB)
  await using group = await MemoryGroup.open(dir)
  // The kernel's own count, by another registration.
  using kernel = new EventFd()
  if (version === 1) await registerEvent(group, 'memory.oom_control', kernel)
  const both = [follow(group.watch()), follow(group.watch())]
  const many = 30
  for (let i = 0; i < many; i++) await (await killedIn(dir, 8 * MiB)).exited
  const expected =
    version === 1 ? Number(await kernel.read()) : field(dir, 'memory.events.local', 'oom')
  t.ok(expected >= many)
  const kills = killsIn(dir)
  // The last kill is sampled a little later, and its counter goes with the group.
  await until(() => both.every(({ seen }) => total(seen, 'kill') >= kills))
  removeAtOnce(dir)
  for (const { seen, ended } of both) {
    await ended
    t.equal(total(seen, 'oom'), expected)
    t.equal(total(seen, 'kill'), kills)
    t.ok(seen.every(e => !('origin' in e) || e.origin !== 'ancestor'))
    t.equal(types(seen).filter(type => type === 'removed').length, 1)
  }
})

t.test('events that are not taken are joined', async t => {
  const dir = scratch(t, 4 * MiB)
  await using group = await MemoryGroup.open(dir)
  const watch = group.watch({ maxQueue: 2 })
  // What has come, without taking it.
  const published: OomEvent[] = []
  const listen = (event: unknown) => published.push(event as OomEvent)
  subscribe('cgroup-oom:event', listen)
  t.teardown(() => unsubscribe('cgroup-oom:event', listen))
  for (let i = 0; i < 5; i++) await (await killedIn(dir, 8 * MiB)).exited
  await until(() => total(published, 'kill') >= 5)
  removeAtOnce(dir)
  const events = await rest(watch)
  t.strictSame(types(events), ['oom', 'kill', 'removed'])
  t.ok(total(events, 'oom') >= 5)
  t.match(events, [{}, { count: 5, counters: { oomKill: 5 } }, {}])
})

t.test('a group that is made again under the same name is another group', async t => {
  const dir = scratch(t, 4 * MiB)
  await using group = await MemoryGroup.open(dir)
  const old = group.watch()
  rmdirSync(dir)
  mkdirSync(dir)
  limit(dir, 4 * MiB)
  await using again = await MemoryGroup.open(dir)
  await using young = again.watch()
  await killedIn(dir, 8 * MiB)
  t.strictSame([...new Set(types(await upTo(young, 'kill', 1)))], ['oom', 'kill'])
  t.strictSame(types(await rest(old)), ['removed'])
})

t.test('wrong arguments are refused before anything is touched', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  for (const options of [null, 1, 'x', [], { signal: {} }, { events: 'high' }]) {
    t.throws(() => group.watch(options as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  t.throws(() => group.watch({ events: ['low' as never] }), { code: 'ERR_INVALID_ARG_VALUE' })
  for (const maxQueue of [0, -1, 1.5, NaN, 2 ** 20 + 1]) {
    t.throws(() => group.watch({ maxQueue }), { code: 'ERR_OUT_OF_RANGE' })
  }
  const reason = new Error('enough')
  t.throws(() => group.watch({ signal: AbortSignal.abort(reason) }), {
    name: 'AbortError',
    code: 'ABORT_ERR',
    cause: reason,
  })
  rmdirSync(dir)
  t.throws(() => group.watch(), { code: /^(ENOENT|ENODEV)$/ })
  await group.close()
  t.throws(() => group.watch(), { code: 'ERR_CLOSED' })
})

t.test('the root group is refused, since it is never notified', async t => {
  await using root = await MemoryGroup.open('.')
  t.throws(() => root.watch(), { code: 'ERR_ROOT_GROUP' })
})
