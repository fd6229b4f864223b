// Ways in which a watch ends, what it holds until then, and its claim on the event loop.
import t from 'tap'
import { channel } from 'node:diagnostics_channel'
import { rmdirSync } from 'node:fs'
import { binding } from '../../../lib/native/addon.js'
import { MemoryGroup, watchTree, type OomEvent, type OomWatch } from '../../../lib/index.js'
import { MiB, version } from '../../helpers/memory-files.js'
import { child, scratch } from '../../helpers/scratch.js'
import { killedIn, openFds, rest } from '../../helpers/watching.js'

// What a watch of one group has open: on v2 both files of its events, and one of the group above.
const EACH = version === 1 ? 1 : 3
// What goes with the last watch: its own, and on v2 the inotify instance that all share, with what its
// thread waits on.
const LAST = version === 1 ? EACH : EACH + 3

const abort = { name: 'AbortError', code: 'ABORT_ERR' }

// Each gets a watch that nothing happens on, and must end it.
const endings: Record<string, (watch: OomWatch, control: AbortController) => Promise<void>> = {
  'return()': async watch => {
    const pending = watch.next()
    await watch.return()
    t.strictSame(await pending, { value: undefined, done: true })
  },
  'await using': async watch => {
    await using held = watch
    t.equal(held[Symbol.asyncIterator](), watch)
  },
  'signal, while a consumer waits': async (watch, control) => {
    const pending = rest(watch)
    control.abort(new Error('enough'))
    await t.rejects(pending, { ...abort, cause: { message: 'enough' } })
  },
  'signal, before a consumer waits': async (watch, control) => {
    control.abort()
    await t.rejects(watch.next(), abort)
  },
  'signal, then return()': async (watch, control) => {
    control.abort()
    await watch.return()
  },
}

for (const [name, end] of Object.entries(endings)) {
  t.test(name, async t => {
    const dir = scratch(t)
    child(dir, 'below')
    await using group = await MemoryGroup.open(dir)
    // The sentinel and the tree thread have fds of their own.
    await using other = watchTree(dir)
    await other.ready
    for (const make of [(o: object) => group.watch(o), (o: object) => watchTree(dir, o)]) {
      const before = openFds()
      const control = new AbortController()
      const watch = make({ signal: control.signal })
      await watch.ready
      t.ok(openFds() > before)
      await end(watch, control)
      t.equal(openFds(), before, 'at once')
      t.strictSame(await watch.next(), { value: undefined, done: true })
      // All of it can be done again.
      await watch.return()
      await watch[Symbol.asyncDispose]()
      watch.ref().unref()
    }
  })
}

t.test('break and throw in the loop end the watch', async t => {
  const dir = scratch(t, 4 * MiB)
  await using group = await MemoryGroup.open(dir)
  await using other = group.watch()
  const before = openFds()
  const one = group.watch()
  const two = group.watch()
  t.equal(openFds(), before + 2 * EACH)
  await (
    await killedIn(dir, 8 * MiB)
  ).exited
  for await (const event of one) {
    t.equal(event.type, 'oom')
    break
  }
  await t.rejects(
    async () => {
      for await (const event of two) throw new Error(event.type)
    },
    { message: 'oom' },
  )
  t.strictSame(await one.next(), { value: undefined, done: true })
  await other.return()
  t.equal(openFds(), before - LAST)
})

t.test('the removal ends it by itself', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  await using other = await MemoryGroup.open('.')
  t.ok(other)
  const first = group.watch()
  const before = openFds()
  const watch = group.watch()
  rmdirSync(dir)
  t.equal((await rest(watch)).length, 1)
  t.equal((await rest(first)).length, 1)
  t.equal(openFds(), before - LAST)
})

t.test('a watch of a tree can be ended while the tree is being scanned', async t => {
  const dir = scratch(t)
  for (let i = 0; i < 200; i++) child(dir, String(i))
  const native = binding()
  const { TreeWatch } = native
  t.teardown(() => (native.TreeWatch = TreeWatch))
  // What is read after `ready` opens descriptors of its own until it has ended.
  let settled: Promise<void> | undefined
  native.TreeWatch = class extends TreeWatch {
    override settle(): Promise<void> {
      return (settled = super.settle())
    }
  }
  await using other = watchTree(dir)
  await other.ready
  await settled
  const before = openFds()
  const left = watchTree(dir)
  const returned = left.return()
  await t.rejects(left.ready, { code: 'ERR_CLOSED' })
  await returned
  const control = new AbortController()
  // In the turn of the loop in which the scan begins: its end cannot be reported before.
  native.TreeWatch = class extends TreeWatch {
    override scan(): Promise<void> {
      const scanned = super.scan()
      control.abort()
      return scanned
    }
  }
  const aborted = watchTree(dir, { signal: control.signal })
  await t.rejects(aborted.ready, abort)
  await t.rejects(aborted.next(), abort)
  t.equal(openFds(), before)
})

t.test('the diagnostics channel has each event as it came', async t => {
  const dir = scratch(t, 4 * MiB)
  await using group = await MemoryGroup.open(dir)
  const seen: OomEvent[] = []
  const listener = (event: unknown): number => seen.push(event as OomEvent)
  channel('cgroup-oom:event').subscribe(listener)
  t.teardown(() => channel('cgroup-oom:event').unsubscribe(listener))
  const watch = group.watch()
  for (let i = 0; i < 3; i++) await (await killedIn(dir, 8 * MiB)).exited
  rmdirSync(dir)
  const taken = await rest(watch)
  t.ok(seen.length >= taken.length)
  const ooms = seen.filter(e => e.type === 'oom').reduce((sum, e) => sum + e.count, 0)
  t.ok(version === 2 ? ooms >= 3 : ooms === 3, 'not changed by what was joined to them later')
  t.equal(seen.at(-1)!.type, 'removed')
})
