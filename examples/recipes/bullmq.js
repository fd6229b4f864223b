// BullMQ: the processes of sandboxed processors have 512 MiB together. When that is used up the largest one is killed:
// its job fails, or is tried again if it has `attempts` left, and the worker goes on.
//
//   node bullmq.js QUEUE PROCESSOR [SOCKET]
import { pathToFileURL } from 'node:url'
import { Worker } from 'bullmq'
import { groupOptions, MemoryGroup } from 'cgroup-oom'

const [queue, processor, path] = process.argv.slice(2)
const home = await MemoryGroup.home()
const group = await home.create(`bullmq-${process.pid}`, { max: '512M', swap: false })
const guard = await group.guard({ delayMs: 1000, policy: ['kill-largest'] })
const worker = new Worker(queue, pathToFileURL(processor), {
  connection: path ? { path } : {}, // default: Redis at 127.0.0.1:6379
  concurrency: 2,
  workerForkOptions: groupOptions(group).fork,
})

worker.on('completed', ({ id }) => console.log(`job ${id}: completed`))
worker.on('failed', (job, { message }) => console.log(`job ${job?.id}: ${message}`))
process.once('SIGTERM', async () => {
  await worker.close()
  await guard.dispose()
  await group.remove({ kill: true })
})
for await (const { ended } of guard) console.log((await ended).summary)
