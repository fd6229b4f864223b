// Kernel facts of v2 that the code relies on.
// lab: short on v2
import '../../helpers/v2-only.js'
import { closeSync, existsSync, openSync, readSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Hog } from '../../helpers/hog.js'
import { field, MiB, read, write } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { killedIn } from '../../helpers/watching.js'

t.test('local counts are the group’s own, the others add up what is below', async t => {
  const dir = scratch(t)
  const below = child(dir, 'below', 8 * MiB)
  await (
    await killedIn(below)
  ).exited
  await until(() => field(below, 'memory.events.local', 'oom_kill') === 1)
  t.ok(field(below, 'memory.events.local', 'oom') >= 1)
  t.equal(field(dir, 'memory.events', 'oom_kill'), 1)
  t.equal(field(dir, 'memory.events.local', 'oom_kill'), 0)
  t.equal(field(dir, 'memory.events.local', 'oom'), 0)
})

t.test('an OOM of the group above: counted there, the kill where the victim was', async t => {
  const dir = scratch(t, 16 * MiB)
  const below = child(dir, 'below')
  await (
    await killedIn(below)
  ).exited
  await until(() => field(below, 'memory.events.local', 'oom_kill') === 1)
  t.equal(field(below, 'memory.events.local', 'oom'), 0)
  t.ok(field(dir, 'memory.events.local', 'oom') >= 1)
  t.equal(field(dir, 'memory.events.local', 'oom_kill'), 0)
})

t.test('the counters go with the group', async t => {
  const dir = scratch(t)
  const fd = openSync(join(dir, 'memory.events.local'), 'r')
  t.teardown(() => closeSync(fd))
  const buffer = Buffer.alloc(512)
  t.ok(readSync(fd, buffer, 0, 512, 0) > 0)
  rmdirSync(dir)
  t.throws(() => readSync(fd, buffer, 0, 512, 0), { code: 'ENODEV' })
})

t.test('a memory.high below usage reclaims and kills no process', async t => {
  const dir = scratch(t, 64 * MiB)
  if (existsSync(join(dir, 'memory.swap.max'))) write(dir, 'memory.swap.max', 0)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  await hog.fill(16 * MiB)
  write(dir, 'memory.high', 4 * MiB)
  write(dir, 'memory.high', 'max')
  t.equal(field(dir, 'memory.events', 'oom_kill'), 0)
})

t.test('members, or groups below that have the controller', async t => {
  const dir = scratch(t)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  t.throws(() => write(dir, 'cgroup.subtree_control', '+memory'), { code: 'EBUSY' })
  t.equal(read(dir, 'cgroup.subtree_control').trim(), '')
})

t.test('an empty group is frozen at once', async t => {
  const dir = scratch(t)
  write(dir, 'cgroup.freeze', 1)
  t.equal(field(dir, 'cgroup.events', 'frozen'), 1)
  write(dir, 'cgroup.freeze', 0)
})
