// Watches a group: its OOMs, what the kernel's killer does about them, its removal.
//
//   node examples/watch.js [PARENT]
//
// Makes a group of 64 MiB below PARENT (default: the top of the memory hierarchy) and starts a job in
// it that wants ever more. Expect an "oom", a "kill" and, when the group goes, a "removed"; after it
// the loop ends by itself. Watching changes nothing: the kernel's killer acts as it always does.
import { once } from 'node:events'
import { join } from 'node:path'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)'

const noSwap = (await probe()).swap.available ? { swapMax: 0 } : {}
const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
const group = await MemoryGroup.create(path, { max: '64M', ...noSwap })
process.once('SIGINT', () => group.remove({ kill: true }).finally(() => process.exit(130)))

const watch = group.watch() // armed from here on: nothing that happens now is missed
const watching = (async () => {
  for await (const event of watch) {
    switch (event.type) {
      case 'oom':
        console.log(`oom: ${event.count}, at a limit of the group's ${event.origin}`)
        break
      case 'kill':
        console.log(`kill: ${event.count} by the kernel, ${event.counters.oomKill} in all`)
        break
      default:
        console.log(event.type)
    }
  }
})()

try {
  const job = spawn(process.execPath, ['-e', GREEDY], { group, stdio: 'ignore' })
  const [, signal] = await once(job, 'exit')
  console.log(`the job was ended by ${signal}`)
} finally {
  await group.remove({ kill: true })
}
await watching
