// Supervises one job: starts it in a group of its own, raises the limit once, and the next time ends
// it and reports.
//
//   node examples/supervise.js [PARENT]
//
// Expect a report of two episodes: in the first the limit was raised from 64 to 96 MiB, in the second
// the job was killed, by this program and not by the kernel.
import { once } from 'node:events'
import { join } from 'node:path'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)'

/**
 * Runs a command in a new group and gives what became of it.
 * @param {string} path
 * @param {string} command
 * @param {string[]} args
 */
async function supervise(path, command, args) {
  const noSwap = (await probe()).swap.available ? { swapMax: 0 } : {}
  const group = await MemoryGroup.create(path, { max: '64M', ...noSwap })
  process.once('SIGINT', () => group.remove({ kill: true }).finally(() => process.exit(130)))
  const episodes = []
  try {
    // Should this program be too slow, the kernel decides after ten seconds.
    const guard = await group.guard({ delayMs: 10_000 })
    const job = spawn(command, args, { group, stdio: ['ignore', 'inherit', 'inherit'] })
    const handling = (async () => {
      for await (const episode of guard) {
        if (episode.id === 1) await episode.raiseLimit({ by: '32M' })
        else await episode.kill('all')
        const { outcome } = await episode.ended
        episodes.push({ outcome, usage: episode.usage, limit: episode.limit })
      }
    })()
    const ended = once(job, 'exit').finally(() => guard.dispose()) // which ends the loop
    const [[code, signal]] = await Promise.all([ended, handling])
    return { code, signal, episodes, byKernel: (await group.counters()).oomKill }
  } finally {
    await group.remove({ kill: true })
  }
}

const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
const report = await supervise(path, process.execPath, ['-e', GREEDY])
console.log(JSON.stringify(report, null, 2))
