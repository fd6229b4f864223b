// group.create(): a group directly below another one, found by that one's descriptor.
import { existsSync, mkdirSync, renameSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import { simulate } from '../../../lib/testing.js'
import { openGroup } from '../../helpers/group.js'
import { MiB, onV1 } from '../../helpers/memory-files.js'
import { child, scratch } from '../../helpers/scratch.js'

t.test('a group below, with limits', async t => {
  const dir = scratch(t)
  const parent = await openGroup(t, dir)
  await using group = await parent.create('job', { max: '32M' })
  t.equal(group.path, join(dir, 'job'))
  t.equal((await group.limits()).max, 32 * MiB)
  await t.rejects(parent.create('job'), { code: 'EEXIST', path: join(dir, 'job') })
  await using below = await group.create('deeper')
  await below.remove()
  await group.remove()
  t.notOk(existsSync(join(dir, 'job')))
})

t.test('the name is that of one directory', async t => {
  const parent = await openGroup(t, scratch(t))
  for (const name of ['', '.', '..', 'a/b', '/a', 'a\0']) {
    await t.rejects(parent.create(name), { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }, name)
  }
  // @ts-expect-error no name
  await t.rejects(parent.create(), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(parent.create('a', { max: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(simulate().create('a'), { code: 'ERR_CGROUP_UNSUPPORTED' })
})

t.test('a refused limit leaves nothing behind', onV1('limits it lacks'), async t => {
  const dir = scratch(t)
  const parent = await openGroup(t, dir)
  await t.rejects(parent.create('a', { high: '1P' }), { code: 'ERR_CGROUP_UNSUPPORTED' })
  t.notOk(existsSync(join(dir, 'a')))
})

t.test('one that is gone has none below it, whatever has its name now', async t => {
  const dir = child(scratch(t), 'parent')
  const parent = await MemoryGroup.open(dir)
  rmdirSync(dir)
  mkdirSync(dir)
  await t.rejects(parent.create('a'), { code: /^(ENOENT|ENODEV)$/ })
  t.notOk(existsSync(join(dir, 'a')))
  await parent.close()
  await t.rejects(parent.create('a'), { code: 'ERR_CLOSED' })
})

t.test('one that has another name by now', onV1('v2 knows no renaming'), async t => {
  const top = scratch(t)
  const dir = child(top, 'parent')
  const parent = await openGroup(t, dir)
  renameSync(dir, join(top, 'other'))
  mkdirSync(dir)
  const group = await parent.create('a')
  t.ok(existsSync(join(top, 'other/a')))
  t.notOk(existsSync(join(dir, 'a')))
  rmdirSync(join(top, 'other/a'))
  await group.close()
})
