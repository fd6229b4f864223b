// From the sentinel's wake-up to the first line of a JavaScript consumer's `for await` body, on an idle
// event loop, next to the least that this can take: a thread that calls uv_async_send, and a callback; and to a
// thread that makes the same system calls before. OOM and both floors take turns.
import { MemoryGroup } from 'cgroup-oom'
import { floorAddon } from './lib/programs.js'
import { measure, SHORT } from './lib/run.js'
import { Starver } from './lib/starver.js'
import { median, p99, us } from './lib/stats.js'

const OOMS = SHORT ? 120 : 300

await measure('consumer: from the sentinel to the body of `for await`', async b => {
  const floor = floorAddon()
  const starver = await Starver.create(b)
  await using group = await MemoryGroup.open(starver.dir)
  const consumer: number[] = []
  const async: number[] = []
  const calls: number[] = []
  const fire = (list: number[], dir?: string) =>
    new Promise<void>(resolve => {
      floor.fire(sentAt => {
        list.push(Number(process.hrtime.bigint() - sentAt))
        resolve()
      }, dir)
    })
  const watch = group.watch()
  starver.starve()
  for await (const event of watch) {
    const now = process.hrtime.bigint()
    if (event.type !== 'oom') continue
    consumer.push(Number(now - event.at))
    if (consumer.length === OOMS) break
    await starver.relieve()
    await fire(async)
    await fire(calls, starver.dir)
    starver.starve()
  }
  await starver.relieve()
  // The first of each compile code.
  for (const list of [consumer, async, calls]) list.splice(0, 20)
  b.table([
    ['', 'median', 'p99', 'times'],
    ['uv_async_send to a callback (floor)', us(median(async)), us(p99(async)), `${async.length}`],
    ['the same system calls, and that', us(median(calls)), us(p99(calls)), `${calls.length}`],
    ['sentinel to the consumer', us(median(consumer)), us(p99(consumer)), `${consumer.length}`],
  ])
  // Where a processor wakes up fast, the system calls are most of it.
  b.ratio('median', median(consumer), median(async), us, false)
  b.ratio('median, to the same calls', median(consumer), median(calls), us)
  b.ratio('p99', p99(consumer), p99(async), us)
  b.target('at most 3 times the floor at the median', median(consumer) <= 3 * median(async))
  b.target('at most 5 times the floor at p99', p99(consumer) <= 5 * p99(async))
})
