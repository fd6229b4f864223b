// Watching a tree: what is there, what appears, what goes, and what cannot be watched.
import t, { type Test } from 'tap'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { watchTree, type OomEvent, type OomWatch } from '../../../lib/index.js'
import { limit, MiB, mount, onV1, version } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { CLEAN, script } from '../../helpers/script.js'
import { killedIn, removeAtOnce, rest, total, types, upTo } from '../../helpers/watching.js'

const of = (events: OomEvent[], group: string): OomEvent[] =>
  events.filter(event => 'group' in event && event.group === group)

/** One OOM, which v2 may count more than once: each allocation that failed. */
function once(t: Test, events: OomEvent[], message = 'one OOM'): void {
  const ooms = total(events, 'oom')
  t.ok(version === 1 ? ooms === 1 : ooms >= 1, `${message}: ${ooms}`)
}

/** Collects in the background; `ended` resolves at the end. */
function collect(watch: OomWatch): { events: OomEvent[]; ended: Promise<void> } {
  const events: OomEvent[] = []
  const ended = (async () => {
    for await (const event of watch) events.push(event)
  })()
  return { events, ended }
}

t.test('existing groups, new ones, deep ones; the root comes last', async t => {
  const root = scratch(t, 32 * MiB)
  const there = child(root, 'there', 4 * MiB)
  const watch = watchTree(root)
  await watch.ready
  const { events, ended } = collect(watch)
  const made = child(root, 'made', 4 * MiB)
  let deep = root
  for (let i = 0; i < 40; i++) deep = child(deep, '.d')
  limit(deep, 4 * MiB)
  for (const dir of [there, made, deep]) {
    await (
      await killedIn(dir, 8 * MiB)
    ).exited
    await until(() => of(events, dir).length > 0)
    removeAtOnce(dir)
  }
  for (let dir = join(deep, '..'); dir !== root; dir = join(dir, '..')) rmdirSync(dir)
  rmdirSync(root)
  await ended
  for (const dir of [there, made, deep]) {
    t.match(of(events, dir).slice(0, 1), [{ type: 'oom', origin: /self|unknown/ }], dir)
    t.equal(types(of(events, dir)).at(-1), 'removed')
  }
  t.equal(events.filter(e => e.type === 'removed').length, 43)
  t.match(events.at(-1), { type: 'removed', group: root })
})

t.test('a tree of one group, given relative to the mount', async t => {
  const root = scratch(t)
  const watch = watchTree(root.slice(mount.length + 1))
  await watch.ready
  rmdirSync(root)
  t.match(await rest(watch), [{ type: 'removed', group: root }])
})

t.test('thousands come and go while others run out of memory as soon as they are', async t => {
  const root = scratch(t, 64 * MiB)
  const watch = watchTree(root, { maxQueue: 10_000 })
  await watch.ready
  const { events, ended } = collect(watch)
  const many = 2000
  const starved: string[] = []
  for (let i = 0; i < many; i++) {
    const dir = child(root, `g${i}`)
    if (i % 100 === 50) {
      const young = child(root, `young${i}`, 2 * MiB)
      starved.push(young)
      await killedIn(young, 8 * MiB)
      // It may be found only now, behind all the others: what happened in it is reported all the same.
      await until(() => of(events, young).length > 0)
      removeAtOnce(young)
    }
    if (i % 7 === 0) await new Promise(resolve => setImmediate(resolve))
    if (i % 2 === 0) rmdirSync(dir)
  }
  for (let i = 1; i < many; i += 2) rmdirSync(join(root, `g${i}`))
  rmdirSync(root)
  await ended
  for (const dir of starved) {
    const own = of(events, dir)
    once(t, own, `${basename(dir)}: ${JSON.stringify(types(own))}`)
    t.equal(types(own).at(-1), 'removed')
  }
  t.equal(new Set(events.filter(e => e.type === 'oom').map(e => e.group)).size, starved.length)
  const paths = new Set(events.map(e => 'group' in e && e.group))
  t.equal(events.filter(e => e.type === 'removed').length, paths.size, 'each once')
})

t.test('a group that is removed and quickly made again is another group', async t => {
  const root = scratch(t, 32 * MiB)
  const watch = watchTree(root)
  await watch.ready
  const { events, ended } = collect(watch)
  const name = join(root, 'again')
  for (let i = 0; i < 200; i++) rmdirSync(child(root, 'again'))
  child(root, 'again', 2 * MiB)
  await killedIn(name, 8 * MiB)
  await until(() => total(of(events, name), 'oom') > 0)
  removeAtOnce(name)
  rmdirSync(root)
  await ended
  const own = of(events, name)
  once(t, own)
  t.equal(types(own).at(-1), 'removed')
  t.ok(types(own).filter(type => type === 'removed').length <= 201)
})

const gone = onV1('v2’s counters go with the group')
t.test('groups that go as soon as they are out of memory: both are reported', gone, async t => {
  const root = scratch(t)
  const groups = Array.from({ length: 20 }, (_, i) => child(root, `g${i}`, 4 * MiB))
  const idle = Array.from({ length: 20 }, (_, i) => child(root, `idle${i}`, 4 * MiB))
  const watch = watchTree(root)
  await watch.ready
  const { events, ended } = collect(watch)
  for (const [i, dir] of groups.entries()) {
    await killedIn(dir, 8 * MiB)
    removeAtOnce(dir)
    removeAtOnce(idle[i]!)
  }
  rmdirSync(root)
  await ended
  for (const dir of groups) {
    once(t, of(events, dir))
    t.equal(types(of(events, dir)).at(-1), 'removed')
  }
  for (const dir of idle) t.same(types(of(events, dir)), ['removed'])
})

t.test('the loop is blocked and everything goes: nothing is lost on the way', async t => {
  const root = scratch(t)
  const many = 3000 // more than the ring to JavaScript holds
  for (let i = 0; i < many; i++) child(root, String(i))
  const watch = watchTree(root, { maxQueue: 2 ** 12 })
  await watch.ready
  for (let i = 0; i < many; i++) rmdirSync(join(root, String(i)))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
  rmdirSync(root)
  const events = await rest(watch)
  t.equal(events.length, many + 1)
  t.equal(new Set(events.map(e => 'group' in e && e.group)).size, many + 1)
  t.match(events.at(-1), { type: 'removed', group: root })
})

t.test('events that do not fit are reported as overflow', async t => {
  const root = scratch(t)
  for (let i = 0; i < 50; i++) child(root, String(i))
  const watch = watchTree(root, { maxQueue: 10 })
  await watch.ready
  for (let i = 0; i < 50; i++) rmdirSync(join(root, String(i)))
  rmdirSync(root)
  const seen: OomEvent[] = []
  // Nothing is taken until all of it is over: the removals are reported a quarter of a second later.
  const over = new Promise<void>(resolve => {
    const listener = (event: unknown): void => {
      const { type, group } = event as OomEvent & { group?: string }
      if (type === 'removed' && group === root) resolve()
    }
    subscribe('cgroup-oom:event', listener)
    t.teardown(() => unsubscribe('cgroup-oom:event', listener))
  })
  await over
  for await (const event of watch) seen.push(event)
  t.equal(types(seen).filter(type => type === 'removed').length, 11, 'ten, and the root')
  const overflow = seen.find(event => event.type === 'overflow')
  t.match(overflow, { type: 'overflow', missed: 40 })
  t.match(seen.at(-1), { type: 'removed', group: root })
})

t.test('refused before anything is touched, or with the reason', async t => {
  for (const root of [undefined, 1, {}]) {
    t.throws(() => watchTree(root as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  for (const root of ['', 'a\0b', '../x']) {
    t.throws(() => watchTree(root), { code: 'ERR_INVALID_ARG_VALUE' })
  }
  t.throws(() => watchTree('.', { maxQueue: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => watchTree('.', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  for (const [path, code] of [
    [join(mount, 'cgroup-oom-test-none'), 'ENOENT'],
    ['/proc', 'ERR_NOT_A_MEMORY_CGROUP'],
  ] as const) {
    const watch = watchTree(path)
    await t.rejects(watch.ready, { code })
    await t.rejects(watch.next(), { code })
    t.strictSame(await watch.next(), { value: undefined, done: true })
  }
})

t.test('without file descriptors left, ready and the first next() reject', async t => {
  const root = scratch(t)
  for (let i = 0; i < 100; i++) child(root, String(i))
  const result = await script(`
    const { execFileSync } = require('node:child_process')
    await (await oom.MemoryGroup.open('.')).close()
    const limit = n => execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=' + n + ':4096'])
    limit(60)
    const watch = oom.watchTree(${JSON.stringify(root)})
    await assert.rejects(watch.ready, { code: 'EMFILE', message: /RLIMIT_NOFILE/ })
    await assert.rejects(watch.next(), { code: 'EMFILE' })
    // Later: a group that appears and cannot be watched.
    limit(200)
    const late = oom.watchTree(${JSON.stringify(root)})
    await late.ready
    limit(require('node:fs').readdirSync('/proc/self/fd').length + 5)
    const next = late.next()
    for (let i = 0; i < 20; i++) require('node:fs').mkdirSync(${JSON.stringify(root)} + '/late' + i)
    await assert.rejects(next, { code: 'EMFILE' })
    assert.deepEqual(await late.next(), { value: undefined, done: true })
  `)
  t.match(result, CLEAN)
})

t.test('no group is lost when the queue of inotify events overflows', async t => {
  // This limit is the machine's: only where no other program is affected, and restored at once.
  const limits = '/proc/sys/fs/inotify'
  const set = (name: string, value: string): (() => void) => {
    const before = readFileSync(join(limits, name), 'utf8')
    writeFileSync(join(limits, name), value)
    return () => writeFileSync(join(limits, name), before)
  }
  const root = scratch(t)
  for (let i = 0; i < 50; i++) child(root, String(i))
  let giveBack
  try {
    giveBack = set('max_queued_events', '16')
  } catch {
    return t.plan(0, 'the limit cannot be changed here')
  }
  const watch = watchTree(root, { maxQueue: 10_000 })
  // The size of a queue is set when it is made.
  await watch.ready
  giveBack()
  const made: string[] = []
  for (let i = 0; i < 1000; i++) made.push(child(root, `new${i}`))
  const last = child(made.at(-1)!, 'last', 2 * MiB)
  await killedIn(last, 8 * MiB)
  // Whenever it is found: what happened in it before is reported.
  const oom = (await upTo(watch, 'oom', 1)).at(-1)
  t.match(oom, { type: 'oom', group: last })
  removeAtOnce(last)
  for (const dir of made) rmdirSync(dir)
  for (let i = 0; i < 50; i++) rmdirSync(join(root, String(i)))
  rmdirSync(root)
  const events = await rest(watch)
  t.ok(version === 2 || total(of(events, last), 'oom') === 0)
  t.equal(
    types(events).filter(type => type === 'removed').length,
    new Set(events.map(e => 'group' in e && e.group)).size,
  )
})
