// freeze and thaw, through the v1 freezer or v2's own, and killing what is frozen.
import { join } from 'node:path'
import t from 'tap'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import {
  enterFreezer,
  freezerBelow,
  freezerOf,
  hasFreezer,
  hasFrozen,
  isFrozen,
  setFrozen,
} from '../../helpers/freezer.js'
import { Hog } from '../../helpers/hog.js'
import { MiB, onV1, version, write } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { mountOf } from '../../helpers/twin.js'

const NO_FREEZER = { name: 'OomError', code: 'ERR_NO_FREEZER' }
const apart = onV1("there the freezer's groups are other ones")

if (!hasFreezer) t.pass('no freezer hierarchy here')
else {
  t.test('freeze stops the members, and thaw lets them go on', async t => {
    const dir = scratch(t)
    const freezer = freezerOf(t, dir)
    const group = await MemoryGroup.open(dir)
    const hog = await Hog.start(dir)
    t.teardown(() => hog.end())
    enterFreezer(freezer, hog.pid)
    await group.freeze()
    t.ok(hasFrozen(freezer))
    let filled = false
    const filling = hog.fill(8 * MiB).then(() => (filled = true))
    await group.freeze()
    t.notOk(filled)
    t.ok((await group.usage()) < 8 * MiB)
    await group.thaw()
    t.notOk(isFrozen(freezer))
    t.ok(await filling)
    await group.thaw()
  })

  t.test('without a freezer group of the same path freeze fails', apart, async t => {
    const dir = scratch(t)
    const group = await MemoryGroup.open(dir)
    await t.rejects(group.freeze(), { ...NO_FREEZER, path: dir })
    await t.rejects(group.thaw(), NO_FREEZER)
    t.strictSame(await group.kill(), [], 'which killing does not need')
  })

  t.test('a freezer group without all of the members does not suffice', apart, async t => {
    const dir = scratch(t)
    const freezer = freezerOf(t, dir)
    const group = await MemoryGroup.open(dir)
    const hog = await Hog.start(child(dir, 'below'))
    t.teardown(() => hog.end())
    await t.rejects(group.freeze(), NO_FREEZER)
    t.notOk(isFrozen(freezer), 'nothing was stopped')
    enterFreezer(freezer, hog.pid)
    await group.freeze()
    await group.thaw()
  })

  t.test('this process is not stopped', async t => {
    const dir = scratch(t)
    const freezer = freezerOf(t, dir)
    const group = await MemoryGroup.open(dir)
    const home = version === 1 ? mountOf('freezer')! : (await MemoryGroup.of('self')).path
    write(freezer, 'cgroup.procs', process.pid)
    try {
      await t.rejects(group.freeze(), { code: 'ERR_SELF_IN_GROUP' })
    } finally {
      write(home, 'cgroup.procs', process.pid)
    }
    t.notOk(isFrozen(freezer))
  })

  t.test('thaw fails while a group above is frozen', async t => {
    const dir = scratch(t)
    const above = freezerOf(t, dir)
    const inner = child(dir, 'inner')
    const freezer = freezerBelow(above, 'inner')
    const group = await MemoryGroup.open(inner)
    setFrozen(above, true)
    await until(() => hasFrozen(above))
    await t.rejects(group.thaw(), {
      code: 'EBUSY',
      path: join(inner, version === 1 ? 'freezer.parent_freezing' : 'cgroup.freeze'),
      message: /group above keeps it frozen/,
    })
    const hog = await Hog.start()
    t.teardown(() => hog.end())
    write(inner, 'cgroup.procs', hog.pid)
    enterFreezer(freezer, hog.pid)
    if (version === 1) {
      await t.rejects(group.kill(), { code: 'EBUSY', message: /group above/ })
      setFrozen(above, false)
    } else {
      t.strictSame(await group.kill(), [hog.pid], 'frozen ones die there')
      t.ok(isFrozen(above))
    }
    await hog.exited
    t.strictSame(await group.pids(), [])
  })

  t.test('kill takes frozen members, also where a group below is frozen by itself', async t => {
    const dir = scratch(t)
    const freezer = freezerOf(t, dir)
    const group = await MemoryGroup.open(dir)
    const hogs: Hog[] = []
    for (const name of ['one', 'two']) {
      const hog = await Hog.start(child(dir, name))
      enterFreezer(freezerBelow(freezer, name), hog.pid)
      hogs.push(hog)
    }
    await group.freeze()
    setFrozen(join(freezer, 'two'), true)
    t.strictSame(
      await group.kill(),
      hogs.map(hog => hog.pid).sort((a, b) => a - b),
    )
    t.strictSame(await group.pids({ recursive: true }), [])
    for (const hog of hogs) t.strictSame(await hog.exited, [null, 'SIGKILL'])
    // On v1 to make them die.
    for (const one of [freezer, join(freezer, 'two')]) t.equal(isFrozen(one), version === 2, one)
  })
}
