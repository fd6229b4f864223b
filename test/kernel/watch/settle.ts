// What the origins of a large tree are found by is read after `ready`: an OOM that comes before that has an
// origin that may be unknown, never a wrong one, and each later one has its own.
import t, { type Test } from 'tap'
import { watchTree, type OomEvent, type OomOrigin } from '../../../lib/index.js'
import { binding } from '../../../lib/native/addon.js'
import { limit, MiB, version } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { follow, killedIn } from '../../helpers/watching.js'

/** More than are read within `ready`. */
const MANY = 70

/** Holds back what reads it, until release() is called; `done` when it has been read. */
function heldBack(t: Test): { release: () => void; done: Promise<void> } {
  const bound = binding()
  const own = bound.TreeWatch
  t.teardown(() => void (bound.TreeWatch = own))
  let release!: () => void
  let finish!: (settled: Promise<void>) => void
  const released = new Promise<void>(resolve => (release = resolve))
  const done = new Promise<void>(resolve => (finish = resolve))
  bound.TreeWatch = class extends own {
    override settle(): Promise<void> {
      const settled = released.then(() => super.settle())
      finish(settled)
      return settled
    }
  }
  return { release, done }
}

interface Origins {
  root: OomOrigin[]
  full: OomOrigin[]
  others: OomOrigin[]
}

/**
 * The origins that are reported when the group `full` of a tree is filled up to its own limit, or to
 * the root's. Both limits have been met before the tree was watched.
 */
async function origins(t: Test, whose: 'own' | 'root', when: 'before' | 'after'): Promise<Origins> {
  const root = scratch(t, 48 * MiB)
  for (let i = 0; i < MANY; i++) child(root, `other${i}`)
  const full = child(root, 'full', 8 * MiB)
  await (
    await killedIn(full, 16 * MiB)
  ).exited
  limit(full, 'max')
  await (
    await killedIn(full, 64 * MiB)
  ).exited
  if (whose === 'own') limit(full, 8 * MiB)

  const { release, done } = heldBack(t)
  const watch = watchTree(root)
  await watch.ready
  if (when === 'after') {
    release()
    await done
  }
  const { seen, ended } = follow<OomEvent>(watch)
  await (
    await killedIn(full, 64 * MiB)
  ).exited
  // The last that is reported of an OOM.
  await until(() => seen.some(event => event.type === 'kill'))
  const of = (wanted: (group: string) => boolean): OomOrigin[] =>
    seen.flatMap(event => (event.type === 'oom' && wanted(event.group) ? [event.origin] : []))
  if (whose === 'root') await until(() => of(group => group === root).length > 0)
  const found = {
    root: of(group => group === root),
    full: of(group => group === full),
    others: of(group => group !== root && group !== full),
  }
  t.ok(found.full.length > 0)
  release()
  await done
  await watch.return()
  await ended
  return found
}

const every = (found: OomOrigin[], ...allowed: OomOrigin[]): boolean =>
  found.every(origin => allowed.includes(origin))

t.test('an OOM before that: unknown at most', async t => {
  const own = await origins(t, 'own', 'before')
  t.ok(every(own.full, 'self', 'unknown'), String(own.full))
  t.same([own.root, own.others], [[], []])
  // v2 counts the group's own.
  if (version === 1) t.same(own.full, ['unknown'])

  const above = await origins(t, 'root', 'before')
  t.ok(every(above.root, 'self', 'unknown'), String(above.root))
  t.ok(every(above.others, 'ancestor', 'unknown'), String(above.others))
  t.ok(every(above.full, 'unknown'), 'nothing to compare with yet')
})

t.test('an OOM after it', async t => {
  const own = await origins(t, 'own', 'after')
  t.ok(every(own.full, 'self'), String(own.full))
  t.same([own.root, own.others], [[], []])

  const above = await origins(t, 'root', 'after')
  t.ok(every(above.root, 'self'), String(above.root))
  t.ok(every(above.full, 'ancestor'), String(above.full))
  t.ok(every(above.others, 'ancestor'), String(above.others))
})
