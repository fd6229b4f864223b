// remove: empty groups, trees, groups that hang out of memory.
// lab: short on v1
import { existsSync, mkdirSync, renameSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import { Hog } from '../../helpers/hog.js'
import { isHeld, MiB, onV1, underOom, version, write } from '../../helpers/memory-files.js'
import { child, plainChild, scratch, until } from '../../helpers/scratch.js'

t.test('remove() of an empty group', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  await group.remove()
  t.notOk(existsSync(dir))
  await t.rejects(group.remove(), { name: 'OomError', code: 'ENOENT' })
  await group.close()
})

t.test('with members or groups below: EBUSY, and nothing is changed', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const below = plainChild(dir, 'below')
  const busy = { name: 'OomError', code: 'EBUSY', syscall: 'rmdir', path: dir }
  await t.rejects(group.remove(), busy)
  await t.rejects(group.remove({ kill: false }), busy)
  t.ok(existsSync(below))
  rmdirSync(below)
  const hog = await Hog.start(dir)
  if (version === 1) write(dir, 'memory.oom_control', 1)
  await t.rejects(group.remove(), busy)
  t.ok(version === 2 || isHeld(dir))
  t.strictSame(await group.pids(), [hog.pid])
  await hog.end()
  await group.remove()
  t.notOk(existsSync(dir))
  for (const bad of [null, 1, []]) {
    await t.rejects(group.remove(bad as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  await t.rejects(group.remove({ kill: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('remove() waits for members that are just ending', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const hog = await Hog.start(dir)
  await hog.fill(128 * MiB)
  await group.kill()
  await group.remove()
  t.notOk(existsSync(dir))
})

t.test(
  'kill: a tree with members that wait in an out-of-memory',
  onV1('a killer can be disabled'),
  async t => {
    const dir = scratch(t)
    const group = await MemoryGroup.create(join(dir, 'tree'), { max: '32M' })
    const a = child(group.path, 'a', 16 * MiB)
    const b = child(a, 'b')
    child(group.path, 'c')
    for (const each of [group.path, a, b]) write(each, 'memory.oom_control', 1)
    const hogs = [await Hog.start(group.path), await Hog.start(a), await Hog.start(b)]
    await hogs[0]!.fork()
    const filled = t.rejects(hogs[1]!.fill(64 * MiB))
    await until(() => underOom(a))
    await group.remove({ kill: true })
    t.notOk(existsSync(group.path))
    await filled
    for (const hog of hogs) t.strictSame(await hog.exited, [null, 'SIGKILL'])
  },
)

t.test('remove({ kill: true }) of a deep and wide tree', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.create(join(dir, 'tree'))
  let at = group.path
  for (let i = 0; i < 40; i++) {
    at = child(at, 'd')
    for (const name of ['x', 'y z', '..w', '-']) plainChild(at, name)
  }
  const hog = await Hog.start(at)
  await group.remove({ kill: true })
  t.notOk(existsSync(group.path))
  await hog.exited
})

t.test(
  'a group that was renamed, with another one under its old name',
  onV1('rename(2)'),
  async t => {
    const dir = scratch(t)
    const group = await MemoryGroup.create(join(dir, 'a'))
    renameSync(join(dir, 'a'), join(dir, 'b'))
    mkdirSync(join(dir, 'a'))
    await t.rejects(group.remove(), { code: 'ENOENT' })
    t.ok(existsSync(join(dir, 'a')), 'the other one stays')
    t.ok(existsSync(join(dir, 'b')))
  },
)
