// lab: short on v1
import '../../helpers/v1-only.js'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { MemoryGroup } from '../../../lib/index.js'
import { EventFd, registerEvent } from '../../../lib/primitives.js'
import { Hog } from '../../helpers/hog.js'
import { MiB, mount, underOom, write } from '../../helpers/memory-files.js'
import { destroy, scratch, until } from '../../helpers/scratch.js'

const fds = (): string[] =>
  readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return []
    }
  })

t.test('an OOM is signalled, a removal once more, control files are closed', async t => {
  const dir = scratch(t, 16 * MiB)
  write(dir, 'memory.oom_control', 1)
  const fd = new EventFd()
  t.teardown(() => fd.close())
  await registerEvent(dir, 'memory.oom_control', fd)
  t.notOk(fds().some(path => path.startsWith(dir)))
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  hog.fill(24 * MiB).catch(() => {})
  t.equal(await fd.read(), 1n)
  await until(() => underOom(dir))
  await hog.end()
  await destroy(dir)
  t.equal(await fd.read(), 1n)
})

t.test('a usage threshold, by path or group, as number, bigint or text', async t => {
  for (const bytes of [8 * MiB, BigInt(8 * MiB), String(8 * MiB)]) {
    const dir = scratch(t, 64 * MiB)
    const fd = new EventFd()
    t.teardown(() => fd.close())
    const group = await MemoryGroup.open(dir)
    await registerEvent(group, 'memory.usage_in_bytes', fd, bytes)
    await group.close()
    const hog = await Hog.start(dir)
    t.teardown(() => hog.end())
    await hog.fill(12 * MiB)
    t.ok((await fd.read()) >= 1n)
    await hog.end()
  }
})

t.test('failures have a code and a reason', async t => {
  const dir = scratch(t)
  const fd = new EventFd()
  t.teardown(() => fd.close())
  await t.rejects(registerEvent(dir, 'memory.pressure_level', fd, 'often'), {
    name: 'OomError',
    code: 'EINVAL',
    syscall: 'write',
    path: join(dir, 'cgroup.event_control'),
    message: /arguments/,
  })
  await t.rejects(registerEvent(dir, 'memory.stat', fd), { code: 'EINVAL' })
  await t.rejects(registerEvent(dir, 'memory.nothing', fd), {
    code: 'ENOENT',
    path: join(dir, 'memory.nothing'),
  })
  await t.rejects(registerEvent(join(dir, 'nothing'), 'memory.stat', fd), { code: 'ENOENT' })
  await t.rejects(registerEvent(tmpdir(), 'memory.stat', fd), { code: 'ERR_NOT_A_MEMORY_CGROUP' })
  for (const hierarchy of ['freezer', 'unified']) {
    const other = join(dirname(mount), hierarchy)
    if (!existsSync(other)) continue
    await t.rejects(registerEvent(other, 'cgroup.procs', fd), { code: 'ERR_NOT_A_MEMORY_CGROUP' })
  }
  fd.close()
  await t.rejects(registerEvent(dir, 'memory.oom_control', fd), { code: 'ERR_CLOSED' })
})

t.test('bad arguments', async t => {
  const dir = scratch(t)
  const fd = new EventFd()
  t.teardown(() => fd.close())
  const call = (...args: unknown[]) =>
    Reflect.apply(registerEvent, undefined, args) as Promise<void>
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }
  for (const bad of [1, null, undefined, {}, { path: 1 }]) {
    await t.rejects(call(bad, 'memory.stat', fd), type)
  }
  for (const bad of ['', 'a', '/a\0']) await t.rejects(call(bad, 'memory.stat', fd), value)
  for (const bad of [1, null, undefined]) await t.rejects(call(dir, bad, fd), type)
  for (const bad of ['', '.', '..', '../x', '/x', 'a\0']) await t.rejects(call(dir, bad, fd), value)
  for (const bad of [1, null, {}]) await t.rejects(call(dir, 'memory.stat', bad), type)
  for (const bad of [null, {}, true, -1n, 2n ** 63n])
    await t.rejects(call(dir, 'memory.stat', fd, bad), type)
  for (const bad of ['a\nb', 'ä', 'x'.repeat(65)])
    await t.rejects(call(dir, 'memory.stat', fd, bad), value)
  for (const bad of [-1, NaN, 0.5]) {
    await t.rejects(call(dir, 'memory.stat', fd, bad), {
      name: 'RangeError',
      code: 'ERR_OUT_OF_RANGE',
    })
  }
})
