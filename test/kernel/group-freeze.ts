// freeze and thaw through the v1 freezer, and killing what is frozen.
import '../helpers/v1-only.js'
import { join } from 'node:path'
import t from 'tap'
import { MemoryGroup } from '../../lib/group.js'
import { Hog } from '../helpers/hog.js'
import { child, MiB, read, scratch, until, write } from '../helpers/scratch.js'
import { mountOf, twin } from '../helpers/twin.js'

const state = (dir: string) => read(dir, 'freezer.state').trim()
const NO_FREEZER = { name: 'OomError', code: 'ERR_NO_FREEZER' }

if (mountOf('freezer') === undefined) t.pass('no freezer hierarchy here')
else {
  t.test('members stop, and go on', async t => {
    const dir = scratch(t)
    const freezer = twin(t, 'freezer', dir)
    const group = await MemoryGroup.open(dir)
    const hog = await Hog.start(dir)
    t.teardown(() => hog.end())
    write(freezer, 'cgroup.procs', hog.pid)
    await group.freeze()
    t.equal(state(freezer), 'FROZEN')
    let filled = false
    const filling = hog.fill(8 * MiB).then(() => (filled = true))
    await group.freeze()
    t.notOk(filled)
    t.ok((await group.usage()) < 8 * MiB)
    await group.thaw()
    t.equal(state(freezer), 'THAWED')
    t.ok(await filling)
    await group.thaw()
  })

  t.test('no freezer group of the same path', async t => {
    const dir = scratch(t)
    const group = await MemoryGroup.open(dir)
    await t.rejects(group.freeze(), { ...NO_FREEZER, path: dir })
    await t.rejects(group.thaw(), NO_FREEZER)
    t.strictSame(await group.kill(), [], 'which killing does not need')
  })

  t.test('a freezer group without all of the members', async t => {
    const dir = scratch(t)
    const freezer = twin(t, 'freezer', dir)
    const group = await MemoryGroup.open(dir)
    const hog = await Hog.start(child(dir, 'below'))
    t.teardown(() => hog.end())
    await t.rejects(group.freeze(), NO_FREEZER)
    t.equal(state(freezer), 'THAWED', 'nothing was stopped')
    write(freezer, 'cgroup.procs', hog.pid)
    await group.freeze()
    await group.thaw()
  })

  t.test('this process is not stopped', async t => {
    const dir = scratch(t)
    const freezer = twin(t, 'freezer', dir)
    const group = await MemoryGroup.open(dir)
    write(freezer, 'cgroup.procs', process.pid)
    try {
      await t.rejects(group.freeze(), { code: 'ERR_SELF_IN_GROUP' })
    } finally {
      write(mountOf('freezer')!, 'cgroup.procs', process.pid)
    }
    t.equal(state(freezer), 'THAWED')
  })

  t.test('a frozen group above', async t => {
    const dir = scratch(t)
    const above = twin(t, 'freezer', dir)
    const inner = child(dir, 'inner')
    child(above, 'inner')
    const group = await MemoryGroup.open(inner)
    write(above, 'freezer.state', 'FROZEN')
    await until(() => state(above) === 'FROZEN')
    await t.rejects(group.thaw(), {
      code: 'EBUSY',
      path: join(inner, 'freezer.parent_freezing'),
      message: /group above keeps it frozen/,
    })
    const hog = await Hog.start(inner)
    t.teardown(() => hog.end())
    write(join(above, 'inner'), 'cgroup.procs', hog.pid)
    await t.rejects(group.kill(), { code: 'EBUSY', message: /group above/ })
    write(above, 'freezer.state', 'THAWED')
    await hog.exited
    t.strictSame(await group.pids(), [])
  })

  t.test('kill takes frozen members, also where a group below is frozen by itself', async t => {
    const dir = scratch(t)
    const freezer = twin(t, 'freezer', dir)
    const below = child(dir, 'below')
    const belowFreezer = child(freezer, 'below')
    const group = await MemoryGroup.open(dir)
    const one = await Hog.start(dir)
    const two = await Hog.start(below)
    write(freezer, 'cgroup.procs', one.pid)
    write(belowFreezer, 'cgroup.procs', two.pid)
    await group.freeze()
    write(belowFreezer, 'freezer.state', 'FROZEN')
    t.strictSame(
      await group.kill(),
      [one.pid, two.pid].sort((a, b) => a - b),
    )
    t.strictSame(await group.pids({ recursive: true }), [])
    t.equal(state(freezer), 'THAWED')
    t.equal(state(belowFreezer), 'THAWED')
    t.strictSame(await one.exited, [null, 'SIGKILL'])
    t.strictSame(await two.exited, [null, 'SIGKILL'])
  })
}
