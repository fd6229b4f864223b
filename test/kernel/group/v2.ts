// What groups have on v2 alone: four limits, the freezer, which group may give controllers to which.
// lab: short on v2
import '../../helpers/v2-only.js'
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import { Hog } from '../../helpers/hog.js'
import { field, limit, MiB, mount, read, write } from '../../helpers/memory-files.js'
import { child, plainChild, scratch, until } from '../../helpers/scratch.js'

const number = (dir: string, file: string): number => Number(read(dir, file).trim())

t.test('limits are set and read back, and only those that are given', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  const swap = existsSync(join(dir, 'memory.swap.max'))
  const all = { high: Infinity, oomGroup: false, ...(swap ? { swapMax: Infinity } : {}) }
  t.strictSame({ ...(await group.limits()) }, { max: Infinity, ...all })
  await group.setLimits({ max: '32M', high: 24 * MiB + 1, oomGroup: true })
  t.match(await group.limits(), { max: 32 * MiB, high: 24 * MiB, oomGroup: true })
  t.equal(number(dir, 'memory.max'), 32 * MiB)
  await group.setLimits({ max: 'max' })
  t.match(await group.limits(), { max: Infinity, high: 24 * MiB, oomGroup: true })
  if (swap) {
    await group.setLimits({ swapMax: 0 })
    t.equal((await group.limits()).swapMax, 0)
  } else {
    const refused = { code: 'ERR_CGROUP_UNSUPPORTED', message: /swap/ }
    await t.rejects(group.setLimits({ max: '1M', swapMax: 0 }), refused)
    await t.rejects(MemoryGroup.create(`${dir}/x`, { swapMax: 0 }), refused)
    t.notOk(existsSync(`${dir}/x`), 'nothing is left behind')
    t.equal(read(dir, 'memory.max'), 'max\n', 'nothing was written')
    t.equal(read(dir, 'cgroup.subtree_control').trim(), '', 'nor given')
  }
})

t.test('lowering the limit below what is used is EBUSY and kills no process', async t => {
  const dir = scratch(t, 64 * MiB)
  if (existsSync(join(dir, 'memory.swap.max'))) write(dir, 'memory.swap.max', 0)
  await using group = await MemoryGroup.open(dir)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  await hog.fill(32 * MiB)
  await t.rejects(group.setLimits({ high: '48M', max: '8M' }), {
    code: 'EBUSY',
    errno: -16,
    path: join(dir, 'memory.max'),
    message: /could not reclaim enough: free or kill first/,
  })
  t.match(await group.limits(), { max: 64 * MiB, high: Infinity }, 'all or none')
  t.equal(field(dir, 'memory.events', 'oom_kill'), 0)
  await group.setLimits({ max: '40M' })
  t.equal(hog.child.exitCode ?? hog.child.signalCode, null)
})

t.test('counters are those of memory.events', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  t.match(await group.counters(), { oom: 0, oomKill: 0, high: 0, max: 0 })
  t.notOk('underOom' in (await group.counters()))
  await (await Hog.start(dir)).fill(32 * MiB).catch(() => {})
  await until(async () => (await group.counters()).oomKill === 1)
  const { oom, max } = await group.counters()
  t.ok(oom! >= 1 && max! >= 1)
})

t.test('reclaim of memory that cannot be reclaimed frees nothing, without an error', async t => {
  const dir = scratch(t, 64 * MiB)
  if (existsSync(join(dir, 'memory.swap.max'))) write(dir, 'memory.swap.max', 0)
  await using group = await MemoryGroup.open(dir)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  await hog.fill(16 * MiB)
  t.ok((await group.reclaim('8M')) < 4 * MiB)
  t.match(await group.limits(), { high: Infinity }, 'whatever it was done with')
})

t.test('freeze and thaw', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  await group.freeze()
  t.equal(field(dir, 'cgroup.events', 'frozen'), 1)
  let filled = false
  const filling = hog.fill(8 * MiB).then(() => (filled = true))
  await group.freeze()
  t.notOk(filled)
  await group.thaw()
  t.equal(field(dir, 'cgroup.events', 'frozen'), 0)
  t.ok(await filling)
  await group.thaw()
  await group.freeze()
  t.strictSame(await group.kill(), [hog.pid], 'frozen ones die too')
  await hog.exited
})

t.test('this process is not stopped; a group above keeps it frozen', async t => {
  const dir = scratch(t)
  const below = plainChild(dir, 'below')
  await using group = await MemoryGroup.open(dir)
  const home = (await MemoryGroup.of('self')).path
  write(below, 'cgroup.procs', process.pid)
  try {
    await t.rejects(group.freeze(), { code: 'ERR_SELF_IN_GROUP' })
    t.equal(read(dir, 'cgroup.freeze'), '0\n')
    t.equal((await MemoryGroup.of('self')).path, dir, 'the group that it is charged to')
  } finally {
    write(home, 'cgroup.procs', process.pid)
  }
  rmdirSync(below)
  const inner = child(dir, 'inner')
  await using lower = await MemoryGroup.open(inner)
  await group.freeze()
  await t.rejects(lower.thaw(), { code: 'EBUSY', message: /a group above keeps it frozen/ })
  await group.thaw()
  await lower.thaw()
})

t.test('a group may have members, or groups below with the controller', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  await t.rejects(MemoryGroup.create(`${dir}/below`), {
    code: 'EBUSY',
    path: `${dir}/below/cgroup.subtree_control`,
    message: /no-internal-process/,
  })
  t.notOk(existsSync(`${dir}/below`))
  const plain = plainChild(dir, 'plain')
  await t.rejects(MemoryGroup.open(plain), {
    code: 'ERR_NOT_A_MEMORY_CGROUP',
    message: /\+memory into the cgroup\.subtree_control/,
  })
  write(plain, 'cgroup.procs', hog.pid)
  t.strictSame(await group.pids({ recursive: true }), [hog.pid])
  await using made = await MemoryGroup.create(`${dir}/below`, { max: '16M' })
  t.equal(read(dir, 'cgroup.subtree_control').trim(), 'memory', 'given by create()')
  await t.rejects(group.add(hog.pid), { code: 'EBUSY', message: /add them to one of those/ })
  await made.add(hog.pid)
  t.equal((await MemoryGroup.of(hog.pid)).path, made.path)
})

t.test('kill takes the whole tree at once', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.open(dir)
  const pids: number[] = []
  for (const name of ['a', 'b', 'c']) {
    const hog = await Hog.start(child(dir, name))
    pids.push(hog.pid, await hog.fork())
  }
  const killed = await group.kill()
  for (const pid of killed) t.ok(pids.includes(pid))
  t.strictSame(await group.pids({ recursive: true }), [])
  await group.remove({ kill: true })
  t.notOk(existsSync(dir))
})

t.test('the root: no limits, no counters, and no watch', async t => {
  await using root = await MemoryGroup.open('.')
  t.equal(root.path, mount)
  t.strictSame(await root.limits(), { max: Infinity })
  t.strictSame(await root.counters(), {})
  t.ok((await root.usage()) > 0)
  t.throws(() => root.watch(), { code: 'ERR_ROOT_GROUP' })
  t.ok(
    readFileSync(join(dirname(join(mount, 'x')), 'cgroup.controllers'), 'utf8').includes('memory'),
  )
})

t.test('a group without limits below one that gives them', async t => {
  const dir = scratch(t)
  mkdirSync(join(dir, 'x'))
  limit(dir, 'max')
  await t.rejects(MemoryGroup.open(join(dir, 'x')), { code: 'ERR_NOT_A_MEMORY_CGROUP' })
})
