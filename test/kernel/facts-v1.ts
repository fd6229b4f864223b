// Kernel facts of v1 that the code relies on. Each has failed to hold somewhere once.
import '../helpers/v1-only.js'
import t from 'tap'
import { Hog } from '../helpers/hog.js'
import { child, field, isHeld, MiB, scratch, underOom, until, write } from '../helpers/scratch.js'

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

t.test('a group made below one with the killer disabled has it disabled', async t => {
  const dir = scratch(t)
  write(dir, 'memory.oom_control', 1)
  const below = child(dir, 'below')
  write(dir, 'memory.oom_control', 0)
  t.ok(isHeld(below))
})
