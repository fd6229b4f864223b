// What is a memory group and what only resembles one; a group keeps its identity.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type OomError } from '../../../lib/base/errors.js'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import { handleOf } from '../../../lib/handle/handle.js'
import { Hog } from '../../helpers/hog.js'
import { MAX, MiB, mount, onV1, read, version } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'
import { mountOf, twin } from '../../helpers/twin.js'

const NOT = { name: 'OomError', code: 'ERR_NOT_A_MEMORY_CGROUP' }

function temporary(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'cgroup-oom-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const openFds = () => readdirSync('/proc/self/fd').length

// The first test: no descriptor that an earlier one has dropped is closed meanwhile.
t.test('create leaves nothing behind when a limit is refused', onV1('limits it lacks'), async t => {
  const dir = scratch(t)
  const refused = [{ high: '1M' }, { oomGroup: true }, { max: 'max', swapMax: 0 }]
  const create = async (limits: object) => {
    await t.rejects(MemoryGroup.create(join(dir, 'a'), limits), { code: 'ERR_CGROUP_UNSUPPORTED' })
    await t.rejects(MemoryGroup.open(join(dir, 'a')), { code: 'ENOENT' })
  }
  await create(refused[0]!) // what is opened once for all
  const before = openFds()
  for (const limits of refused) await create(limits)
  t.equal(openFds(), before)
})

t.test('paths are absolute or relative to the mount', async t => {
  const dir = scratch(t)
  for (const path of [dir, relative(mount, dir), `${dir}/`, `${dirname(dir)}/./${basename(dir)}`]) {
    await using group = await MemoryGroup.open(path)
    t.equal(group.path, dir)
    t.equal(group.version, version)
    t.equal(handleOf(group).isRoot, false)
  }
})

t.test('the root group has no limits, and refuses what needs them', async t => {
  for (const path of ['.', '/', mount]) {
    if (path === '/') {
      await t.rejects(MemoryGroup.open(path), NOT)
      continue
    }
    await using root = await MemoryGroup.open(path)
    t.equal(root.path, mount)
    t.ok(handleOf(root).isRoot)
    t.ok((await root.usage()) > 0)
    t.match(await root.limits(), { max: Infinity })
    const refused = { code: 'ERR_ROOT_GROUP', path: mount }
    await t.rejects(root.setLimits({ max: 'max' }), refused)
    await t.rejects(root.kill(), refused)
    await t.rejects(root.freeze(), refused)
    await t.rejects(root.reclaim(1), refused)
    await t.rejects(root.remove(), refused)
    await t.rejects(root.remove({ kill: true }), refused)
  }
})

t.test('what is no memory group is refused', async t => {
  const dir = scratch(t)
  const plain = temporary(t)
  mkdirSync(join(plain, 'dir'))
  writeFileSync(join(plain, 'memory.limit_in_bytes'), '0\n')
  writeFileSync(join(plain, 'memory.oom_control'), 'oom_kill_disable 0\n')
  symlinkSync(dir, join(plain, 'link'))
  symlinkSync(dirname(dir), join(plain, 'above'))
  for (const path of [
    plain, // resembles one by its files
    join(plain, 'dir'),
    join(plain, 'memory.oom_control'),
    join(plain, 'link'),
    join(plain, 'above', basename(dir)),
    join(dir, MAX),
    join(dir, MAX, 'x'),
    ...(version === 1 ? [twin(t, 'pids', dir), mountOf('pids')!] : []),
    dirname(mount),
    '/proc/self/cwd',
    '/',
  ]) {
    await t.rejects(MemoryGroup.open(path), { ...NOT, path: path.replace(/(.)\/$/, '$1') }, path)
  }
  await t.rejects(MemoryGroup.open(join(dir, 'none')), {
    code: 'ENOENT',
    syscall: 'open',
    errno: -2,
  })
  await t.rejects(MemoryGroup.open(relative(mount, join(dir, 'none'))), { code: 'ENOENT' })
  await t.rejects(MemoryGroup.open(`${dir}/${'x'.repeat(300)}`), { code: 'ENOENT' })
  await t.rejects(MemoryGroup.open(`/${'x/'.repeat(3000)}`), { code: 'ENOENT' })
})

t.test('a cgroup2 hierarchy without the memory controller', onV1('hybrid'), async t => {
  const line = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find(l => l.split(' ')[2] === 'cgroup2')
  if (line === undefined) return t.pass('none mounted')
  await t.rejects(MemoryGroup.open(line.split(' ')[1]!), NOT)
})

t.test('a symbolic link that comes and goes is never followed', async t => {
  const dir = scratch(t)
  const plain = temporary(t)
  const at = join(plain, 'at')
  let swapping = true
  const swapped = (async () => {
    for (; swapping; await turn()) {
      symlinkSync(dir, join(plain, 'new'))
      renameSync(join(plain, 'new'), at)
      unlinkSync(at)
      mkdirSync(at)
      await turn()
      rmdirSync(at)
    }
  })()
  const codes = new Set<string>()
  for (let i = 0; i < 500; i++) {
    try {
      await (await MemoryGroup.open(at)).close()
      t.fail('opened through a link')
    } catch (error) {
      codes.add((error as OomError).code)
    }
  }
  swapping = false
  await swapped
  for (const code of codes) t.ok(['ENOENT', NOT.code].includes(code), code)
})

t.test('a removed group, and another one of its name', async t => {
  const dir = scratch(t, 16 * MiB)
  const old = await MemoryGroup.open(dir)
  rmdirSync(dir)
  const gone = { name: 'OomError', code: /^(ENOENT|ENODEV)$/, message: /removed/ }
  const all = async () => {
    await t.rejects(old.usage(), gone)
    await t.rejects(old.limits(), gone)
    await t.rejects(old.setLimits({ max: '32M' }), gone)
    await t.rejects(old.counters(), gone)
    await t.rejects(old.pids(), gone)
    await t.rejects(old.pids({ recursive: true }), gone)
    await t.rejects(old.add(process.pid), gone)
    await t.rejects(old.kill(), gone)
    await t.rejects(old.kill({ signal: 'SIGTERM' }), gone)
    await t.rejects(old.reclaim('1M'), gone)
    await t.rejects(old.freeze(), gone)
    await t.rejects(old.thaw(), gone)
    await t.rejects(old.remove(), { code: 'ENOENT' })
    await t.rejects(old.remove({ kill: true }), { code: 'ENOENT' })
  }
  await all()
  mkdirSync(dir)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  await all()
  await using other = await MemoryGroup.open(dir)
  t.strictSame(await other.pids(), [hog.pid], 'the other one is untouched')
  t.equal((await other.limits()).max, Infinity)
  await old.close()
})

t.test('of() finds the group of a process', async t => {
  const dir = scratch(t)
  const hog = await Hog.start(dir)
  t.equal((await MemoryGroup.of(hog.pid)).path, dir)
  const own = readFileSync('/proc/self/cgroup', 'utf8').match(
    version === 1 ? /^\d+:memory:(.*)$/m : /^0::(.*)$/m,
  )![1]!
  const at = own === '/' ? mount : join(mount, own)
  t.equal((await MemoryGroup.of('self')).path, at)
  t.equal((await MemoryGroup.of(process.pid)).path, at)
  await hog.end()
  await t.rejects(MemoryGroup.of(hog.pid), { code: 'ESRCH', path: `/proc/${hog.pid}/cgroup` })
})

t.test('create makes a group with its limits', async t => {
  const dir = scratch(t)
  await using group = await MemoryGroup.create(join(dir, 'a'), { max: '16M' })
  t.equal(read(group.path, MAX), `${16 * MiB}\n`)
  await using below = await MemoryGroup.create(relative(mount, join(dir, 'a', 'b')))
  t.equal(below.path, join(dir, 'a', 'b'))
  await t.rejects(MemoryGroup.create(group.path), { code: 'EEXIST', syscall: 'mkdir' })
  await t.rejects(MemoryGroup.create(join(dir, 'x', 'y')), { code: 'ENOENT' })
  const plain = temporary(t)
  await t.rejects(MemoryGroup.create(join(plain, 'a')), NOT)
  t.strictSame(readdirSync(plain), [], 'nothing is made outside of the hierarchy')
  if (version === 1) {
    await t.rejects(MemoryGroup.create(join(mountOf('pids')!, 'cgroup-oom-test-x')), NOT)
  }
})

t.test('a closed group refuses every call', async t => {
  const dir = scratch(t)
  const before = openFds()
  const group = await MemoryGroup.open(dir)
  t.equal(openFds(), before + 1)
  const pending = group.usage()
  await group.close()
  await group.close()
  t.type(await pending, 'number', 'what is under way is finished')
  t.equal(openFds(), before)
  const closed = { name: 'OomError', code: 'ERR_CLOSED', path: dir }
  await t.rejects(group.usage(), closed)
  await t.rejects(group.limits(), closed)
  await t.rejects(group.setLimits({}), closed)
  await t.rejects(group.counters(), closed)
  await t.rejects(group.pids(), closed)
  await t.rejects(group.add(1), closed)
  await t.rejects(group.kill(), closed)
  await t.rejects(group.kill({ signal: 'SIGTERM' }), closed)
  await t.rejects(group.freeze(), closed)
  await t.rejects(group.thaw(), closed)
  await t.rejects(group.reclaim(1), closed)
  await t.rejects(group.remove(), closed)
  t.throws(() => handleOf(group), closed)
  t.equal(group.path, dir)
  const again = await MemoryGroup.open(dir)
  await again[Symbol.asyncDispose]()
  await t.rejects(again.usage(), closed)
})
