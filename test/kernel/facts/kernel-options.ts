// What options on the kernel's command line take away: lab/lab-test.mjs boots a machine for each.
// lab: with cgroup_disable=memory on v1, v2
// lab: with swapaccount=0 on 5.10/v2 (later kernels ignore it on v2)
// lab: with psi=0 on 5.10/v2, 6.1/v2 (5.10 has the files and does not read them, 6.1 has none)
// lab: with lab.flat on 5.10/v1 (our own: memory.use_hierarchy as the kernel leaves it)
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MemoryGroup, probe } from '../../../lib/index.js'
import { failure, guarded } from '../../helpers/guard.js'
import { Hog } from '../../helpers/hog.js'
import { limit, MiB, usageOf, version } from '../../helpers/memory-files.js'
import { child, scratch } from '../../helpers/scratch.js'
import { killedIn } from '../../helpers/watching.js'

const booted = readFileSync('/proc/cmdline', 'utf8')
const withOption = (option: string) => ({
  skip: booted.includes(option) ? false : `without ${option}`,
})

t.test('no memory controller', withOption('cgroup_disable=memory'), async t => {
  const report = await probe()
  t.match(report, { version: null, mount: null, self: null })
  const why = { available: false, reason: /cgroup_disable=memory/, remedy: /boot without/ }
  for (const field of ['memory', 'writable', 'watch', 'guard', 'swap'] as const) {
    t.match(report[field], why, field)
  }
  t.match(report.addon, { available: true })
  const refused = { name: 'OomError', code: 'ERR_CGROUP_UNSUPPORTED', message: /cgroup_disable/ }
  t.match(await failure(MemoryGroup.open('x')), refused)
  t.match(await failure(MemoryGroup.create('x')), refused)
  t.match(await failure(MemoryGroup.of('self')), refused)
  t.match(await failure(MemoryGroup.open('/sys/fs/cgroup')), { code: 'ERR_NOT_A_MEMORY_CGROUP' })
})

t.test('limits that do not count the groups below', withOption('lab.flat'), async t => {
  t.match((await probe()).memory, { available: true, reason: /memory\.use_hierarchy/ })
  // A group that another program has made: neither guarded nor taken for the ancestor of anything.
  const parent = scratch(t, 8 * MiB)
  const below = child(parent, 'below', 16 * MiB)
  await using flat = await MemoryGroup.open(parent)
  t.match(await failure(flat.guard({ delayMs: 1000 })), {
    code: 'ERR_CGROUP_UNSUPPORTED',
    message: /memory\.use_hierarchy/,
  })
  await using group = await MemoryGroup.open(below)
  await using watch = group.watch()
  // Full, and it has refused charges since the watch began.
  await killedIn(parent)
  const full = await Hog.start(parent)
  await full.fill(4 * MiB)
  limit(parent, usageOf(parent))
  await killedIn(below)
  t.match((await watch.next()).value, { type: 'oom', origin: 'self' })
  await full.end()

  // One of our own counts them, and is guarded for them.
  await using made = await MemoryGroup.create(join(parent, 'made'), { max: 16 * MiB })
  const inside = child(made.path, 'inside')
  const guarding = await guarded(t, made.path, { delayMs: 20_000 })
  const killed = killedIn(inside, 64 * MiB)
  const episode = await guarding.next()
  t.equal(episode.group, made.path)
  await episode.kill('all')
  await killed
})

t.test('no stall information', withOption('psi=0'), async t => {
  await using group = await MemoryGroup.open(scratch(t, 32 * MiB))
  t.match(await failure(group.guard({ delayMs: 1000, thrash: { stallMs: 200, windowMs: 1000 } })), {
    code: 'ERR_CGROUP_UNSUPPORTED',
    message: /stall information.*psi=1/,
  })
  const guarding = await guarded(t, group.path, { delayMs: 20_000 })
  const killed = killedIn(group.path, 64 * MiB)
  const episode = await guarding.next()
  t.equal(episode.reason, 'oom')
  await episode.kill('all')
  await killed
})

t.test('no swap accounting', withOption('swapaccount=0'), async t => {
  t.match((await probe()).swap, { available: false, remedy: /swapaccount=1/ })
  if (version !== 2) return
  await using group = await MemoryGroup.open(scratch(t))
  t.notOk('swapMax' in (await group.limits()))
  t.match(await failure(group.setLimits({ swapMax: 0 })), {
    code: 'ERR_CGROUP_UNSUPPORTED',
    message: /swapaccount=1/,
  })
})
