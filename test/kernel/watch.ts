// Watching one group, against the real kernel.
import t from 'tap'
import { rmdirSync } from 'node:fs'
import { MemoryGroup } from '../../lib/index.js'
import { Hog } from '../helpers/hog.js'
import { MiB, scratch } from '../helpers/scratch.js'

t.test('an OOM and the kill are told, then the removal', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  const before = process.hrtime.bigint()
  const watch = group.watch()
  const hog = await Hog.start(dir)
  await t.rejects(hog.fill(32 * MiB))
  const oom = (await watch.next()).value
  t.match(oom, { type: 'oom', group: dir, count: 1, origin: 'self' })
  t.ok(oom!.at > before && oom!.at < process.hrtime.bigint())
  t.match((await watch.next()).value, {
    type: 'kill',
    group: dir,
    count: 1,
    counters: { oomKill: 1 },
  })
  await hog.exited
  rmdirSync(dir)
  t.match((await watch.next()).value, { type: 'removed', group: dir })
  t.strictSame(await watch.next(), { value: undefined, done: true })
})

t.test('a removal is no OOM', async t => {
  const dir = scratch(t, 16 * MiB)
  await using group = await MemoryGroup.open(dir)
  const watch = group.watch()
  rmdirSync(dir)
  const types = []
  for await (const event of watch) types.push(event.type)
  t.strictSame(types, ['removed'])
})
