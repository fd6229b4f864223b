// Watches a whole tree: every group below one, those made later included.
//
//   node examples/tree.js [PARENT]
//
// Makes three groups below one that is watched, one after the other, each with a job that is too
// large for it, and removes them again. Expect an "oom", a "kill" and a "removed" of each: the first
// OOM of a new group is not missed. The loop ends with the removal of the root.
import { once } from 'node:events'
import { basename, join } from 'node:path'
import { MemoryGroup, probe, spawn, watchTree } from 'cgroup-oom'

const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)'

const noSwap = (await probe()).swap.available ? { swapMax: 0 } : {}
const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
const root = await MemoryGroup.create(path)
process.once('SIGINT', () => root.remove({ kill: true }).finally(() => process.exit(130)))

const watch = watchTree(root.path)
const watching = (async () => {
  for await (const event of watch) {
    if (event.type !== 'overflow') console.log(`${basename(event.group)}: ${event.type}`)
  }
})()

try {
  await watch.ready // every group that exists is watched
  for (const name of ['red', 'green', 'blue']) {
    const group = await MemoryGroup.create(join(root.path, name), { max: '64M', ...noSwap })
    const job = spawn(process.execPath, ['-e', GREEDY], { group, stdio: 'ignore' })
    await once(job, 'exit')
    await group.remove()
    await group.close()
  }
} finally {
  await root.remove({ kill: true })
}
await watching
