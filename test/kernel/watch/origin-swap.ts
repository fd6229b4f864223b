// Whose limit an OOM was, where no more may be swapped (v1: memory with swap is used up), against the
// real kernel.
import t from 'tap'
import { MemoryGroup } from '../../../lib/index.js'
import { Hog } from '../../helpers/hog.js'
import { hasMemsw, MiB, mount, version } from '../../helpers/memory-files.js'
import { child, scratch } from '../../helpers/scratch.js'

// The root of v2 has no such file, and swap is accounted unless an option of the kernel forbids it.
const skip = version === 1 && !hasMemsw(mount) && 'no swap accounting'

// v1: with swapMax: 0 the charge is refused by memory.memsw, whose refusals newer kernels do not count.
t.test('a group that may not swap hits its own limit', { skip }, async t => {
  await using group = await MemoryGroup.open(scratch(t))
  await group.setLimits({ max: 16 * MiB, swapMax: 0 })
  const watch = group.watch()
  const hog = await Hog.start(group.path)
  await t.rejects(hog.fill(32 * MiB))
  t.match((await watch.next()).value, { type: 'oom', origin: 'self' })
  await watch.return()
})

t.test(
  'a group without a limit is notified of the one above, which may not swap',
  { skip },
  async t => {
    await using above = await MemoryGroup.open(scratch(t))
    await above.setLimits({ max: 16 * MiB, swapMax: 0 })
    await using group = await MemoryGroup.open(child(above.path, 'below'))
    const watch = group.watch()
    const hog = await Hog.start(group.path)
    await t.rejects(hog.fill(32 * MiB))
    t.match((await watch.next()).value, { type: 'oom', origin: 'ancestor' })
    await watch.return()
  },
)
