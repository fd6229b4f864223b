// Kernel facts of v1 that the code relies on. Each has failed to hold somewhere once.
// lab: short on v1
import '../../helpers/v1-only.js'
import { closeSync, mkdirSync, openSync, readSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { EventFd, registerEvent } from '../../../lib/primitives.js'
import { Hog, hogIn } from '../../helpers/hog.js'
import {
  field,
  hasMemsw,
  isHeld,
  killsIn,
  limitOf,
  MEMSW,
  MiB,
  read,
  underOom,
  write,
} from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

/** The contents of an open file from its beginning. */
function readAgain(fd: number): string {
  const buffer = Buffer.alloc(4096)
  return buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, 0))
}

t.test('with the killer disabled tasks wait, and go on when the limit is raised', async t => {
  const dir = scratch(t, 16 * MiB)
  write(dir, 'memory.oom_control', 1)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  write(dir, 'memory.limit_in_bytes', 64 * MiB)
  t.equal(await filled, 24 * MiB)
  t.notOk(underOom(dir))
})

t.test('writing 0 lets the kernel kill', async t => {
  const dir = scratch(t, 16 * MiB)
  write(dir, 'memory.oom_control', 1)
  const hog = await Hog.start(dir)
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  write(dir, 'memory.oom_control', 0)
  await t.rejects(filled)
  t.strictSame(await hog.exited, [null, 'SIGKILL'])
  t.equal(field(dir, 'memory.oom_control', 'oom_kill'), 1)
})

t.test('a task that waits dies of SIGKILL, whatever the limit', async t => {
  const dir = scratch(t, 16 * MiB)
  write(dir, 'memory.oom_control', 1)
  const hog = await Hog.start(dir)
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  hog.child.kill('SIGKILL')
  await t.rejects(filled)
  t.strictSame(await hog.exited, [null, 'SIGKILL'])
  t.equal(killsIn(dir), 0, 'no kill of the kernel is counted')
  t.ok(isHeld(dir))
})

t.test('a group made below one with the killer disabled has it disabled', async t => {
  const dir = scratch(t)
  write(dir, 'memory.oom_control', 1)
  const below = child(dir, 'below')
  write(dir, 'memory.oom_control', 0)
  t.ok(isHeld(below))
})

t.test('oom_control takes 0 and 1 and nothing else', async t => {
  const dir = scratch(t)
  for (const other of ['2', '-1', 'x']) {
    t.throws(() => write(dir, 'memory.oom_control', other), { code: 'EINVAL' }, other)
  }
  t.notOk(isHeld(dir))
})

t.test('an OOM shows in the group and in those below it, never above', async t => {
  const above = scratch(t)
  const dir = child(above, 'full', 16 * MiB)
  const below = child(dir, 'below')
  write(dir, 'memory.oom_control', 1)
  const registered = async (group: string): Promise<EventFd> => {
    const fd = new EventFd()
    t.teardown(() => fd.close())
    await registerEvent(group, 'memory.oom_control', fd)
    return fd
  }
  const [ofAbove, ofDir, ofBelow] = [
    await registered(above),
    await registered(dir),
    await registered(below),
  ]
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  t.equal(await ofDir.read(), 1n)
  t.equal(await ofBelow.read(), 1n)
  t.ok(underOom(dir))
  t.ok(underOom(below))
  t.notOk(underOom(above))

  const late = await registered(below)
  t.equal(await late.read(), 1n, 'registered while it lasts: signalled at once')
  ofAbove.write(1n)
  t.equal(await ofAbove.read(), 1n, 'only what the test has written')
})

t.test('a kill is counted in the group of the victim alone', async t => {
  const dir = scratch(t, 16 * MiB)
  const below = child(dir, 'below')
  const hog = await hogIn(t, below)
  await t.rejects(hog.fill(24 * MiB))
  await until(() => killsIn(below) === 1)
  t.equal(killsIn(dir), 0)
})

t.test('limits are whole pages, and -1 reads as the largest of them', async t => {
  const dir = scratch(t, 16 * MiB + 1)
  t.equal(limitOf(dir), 16 * MiB)
  write(dir, 'memory.limit_in_bytes', -1)
  const most = BigInt(read(dir, 'memory.limit_in_bytes'))
  t.ok(most >= 2n ** 63n - 65536n, 'the largest page has 64 KiB')
  t.equal(most % 4096n, 0n)
})

t.test('a limit below what cannot be reclaimed is EBUSY and kills no process', async t => {
  const dir = scratch(t, 64 * MiB)
  if (hasMemsw(dir)) write(dir, MEMSW, 64 * MiB)
  const hog = await hogIn(t, dir)
  await hog.fill(16 * MiB)
  t.throws(() => write(dir, 'memory.limit_in_bytes', 4 * MiB), { code: 'EBUSY' })
  t.equal(limitOf(dir), 64 * MiB)
  t.equal(killsIn(dir), 0)
})

t.test('the limit of memory may not exceed that of memory and swap', async t => {
  const dir = scratch(t, 16 * MiB)
  if (!hasMemsw(dir)) return t.pass('swap is not accounted here')
  write(dir, MEMSW, 16 * MiB)
  t.throws(() => write(dir, 'memory.limit_in_bytes', 32 * MiB), { code: 'EINVAL' })
  t.throws(() => write(dir, MEMSW, 8 * MiB), { code: 'EINVAL' })
})

t.test('an open file is of the group that it was opened in', async t => {
  const dir = child(scratch(t), 'again')
  const fd = openSync(join(dir, 'memory.oom_control'), 'r')
  t.teardown(() => closeSync(fd))
  t.match(readAgain(fd), /^oom_kill_disable 0$/m)
  rmdirSync(dir)
  t.throws(() => read(dir, 'memory.oom_control'), { code: 'ENOENT' })
  mkdirSync(dir)
  t.match(read(dir, 'memory.oom_control'), /^oom_kill_disable 0$/m)
  t.throws(() => readAgain(fd), { code: 'ENODEV' })
})

t.test('an open cgroup.procs repeats its members, a new one asks again', async t => {
  const dir = scratch(t)
  const hog = await Hog.start(dir)
  const fd = openSync(join(dir, 'cgroup.procs'), 'r')
  t.teardown(() => closeSync(fd))
  // Kept for a second after the last read: on a busy machine that may have passed.
  const began = performance.now()
  t.equal(readAgain(fd), `${hog.pid}\n`)
  await hog.end()
  const repeated = readAgain(fd)
  if (performance.now() - began < 900) t.equal(repeated, `${hog.pid}\n`)
  t.equal(read(dir, 'cgroup.procs'), '')
})
