// The most that a group has ever used.
// lab: short on 5.10/v2, 6.1/v2
import t from 'tap'
import { existsSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { MemoryGroup } from '../../../lib/index.js'
import { hogIn } from '../../helpers/hog.js'
import { MiB, mount, usageOf, version } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

// Linux 5.19.
const file = version === 1 ? 'memory.max_usage_in_bytes' : 'memory.peak'
const unsupported = {
  name: 'OomError',
  code: 'ERR_CGROUP_UNSUPPORTED',
  message: /memory\.peak.*5\.19/,
}

t.test('it stays when the memory is freed, and has what groups below have used', async t => {
  const dir = scratch(t, 64 * MiB)
  const below = child(dir, 'below')
  await using group = await MemoryGroup.open(dir)
  if (!existsSync(join(dir, file))) {
    await t.rejects(group.peak(), { ...unsupported, path: dir })
    return
  }
  const first = await group.peak()
  t.ok(first < 16 * MiB)
  const hog = await hogIn(t, below)
  await hog.fill(24 * MiB)
  await hog.free()
  await until(() => usageOf(dir) < 16 * MiB)
  const peak = await group.peak()
  t.ok(peak >= 24 * MiB && peak <= 64 * MiB, String(peak))
})

t.test('the root, a group that is gone, and one that is closed', async t => {
  const dir = scratch(t)
  await using root = await MemoryGroup.open(mount)
  if (version === 1) t.ok((await root.peak()) > 0)
  else await t.rejects(root.peak(), unsupported)
  const group = await MemoryGroup.open(dir)
  rmdirSync(dir)
  await t.rejects(group.peak(), { code: /^(ENOENT|ENODEV)$/ })
  await group.close()
  await t.rejects(group.peak(), { code: 'ERR_CLOSED' })
})
