// A delay with a fallback: user space gets half a second; then the largest process is killed.
//
//   node examples/delay.js [PARENT]
//
// Two jobs share a group of 128 MiB: one stays small, one allocates without end. No handler reacts to the OOM.
// Expect an episode that ends with the outcome "fallback" about 500 ms after it began, with the
// greedy job killed and the small one still there. 'kill-group' would take both, 'kernel' (the
// default) leaves the choice to the kernel's killer.
import { once } from 'node:events'
import { join } from 'node:path'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)'
const SMALL = 'setInterval(() => {}, 1000)'

const noSwap = (await probe()).swap.available ? { swapMax: 0 } : {}
const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
const group = await MemoryGroup.create(path, { max: '128M', ...noSwap })
process.once('SIGINT', () => group.remove({ kill: true }).finally(() => process.exit(130)))

try {
  const guard = await group.guard({ delayMs: 500, fallback: 'kill-largest' })
  const small = spawn(process.execPath, ['-e', SMALL], { group, stdio: 'ignore' })
  await once(small, 'spawn')
  const greedy = spawn(process.execPath, ['-e', GREEDY], { group, stdio: 'ignore' })
  const exited = once(greedy, 'exit')

  for await (const episode of guard) {
    console.log(`out of memory: ${episode.usage} of ${episode.limit} bytes`)
    const { outcome, at, lateNs, killed } = await episode.ended
    const ms = Number(at - episode.startedAt) / 1e6
    console.log(`${outcome} after ${ms.toFixed(1)} ms (${(lateNs / 1e6).toFixed(3)} ms late)`)
    console.log(`killed the greedy job: ${killed.includes(greedy.pid ?? 0)}`)
    break
  }
  await exited
  console.log(`the small job is still there: ${(await group.pids()).includes(small.pid ?? 0)}`)
  await guard.dispose()
} finally {
  await group.remove({ kill: true })
}
