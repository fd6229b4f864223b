// The process that `allocations` measures: guards or watches one group as ordered, and sends what is
// reported to it.
import { MemoryGroup, type GuardOptions } from 'cgroup-oom'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { compiled } from '../../test/helpers/compile.js'

export interface Order {
  dir: string
  /** Guard with these; without them: watch. */
  options?: GuardOptions
}

/** What else it can be ordered to do: fork(2) shares with the child what may be shared. */
export type Errand = { errand: 'job'; bytes: number } | { errand: 'true' }

const [order] = (await once(process, 'message')) as [Order]
// Children are not measured.
const env = { PATH: process.env.PATH }
process.on('message', (message: Errand) => {
  if (message.errand === 'true') return void spawn('/bin/true', { env, stdio: 'ignore' })
  const job = spawn(compiled('hog'), [order.dir], { env, stdio: ['pipe', 'ignore', 'inherit'] })
  job.stdin.on('error', () => {})
  job.stdin.write(`fill ${message.bytes}\n`)
})
const group = await MemoryGroup.open(order.dir)
const send = (text: string) => process.send!(text)
if (order.options) {
  const guard = await group.guard(order.options)
  send('armed')
  for await (const episode of guard) void episode.ended.then(end => send(end.outcome))
} else {
  const watch = group.watch()
  send('armed')
  for await (const event of watch) send(event.type)
}
