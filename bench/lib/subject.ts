// The process that `allocations` measures: guards or watches one group as it is told, and says what
// it hears.
import { MemoryGroup, type GuardOptions } from 'cgroup-oom'
import { once } from 'node:events'

export interface Order {
  dir: string
  /** Guard with these; without them: watch. */
  options?: GuardOptions
}

const [order] = (await once(process, 'message')) as [Order]
const group = await MemoryGroup.open(order.dir)
const say = (text: string) => process.send!(text)
if (order.options) {
  const guard = await group.guard(order.options)
  say('armed')
  for await (const episode of guard) void episode.ended.then(end => say(end.outcome))
} else {
  const watch = group.watch()
  say('armed')
  for await (const event of watch) say(event.type)
}
