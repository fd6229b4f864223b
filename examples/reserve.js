// A handler that lives in the very group that runs out of memory, and what it has put aside.
//
//   node examples/reserve.js [PARENT]
//
// This program starts itself again inside a group of 160 MiB, where it guards the group, holds 32 MiB
// of ballast for the guard and 8 MiB in a MemoryReserve of its own, and runs a job. The job allocates
// 16 MiB more than there is. Expect: the plan frees the ballast natively, at once, while all
// JavaScript in the group may be waiting for memory. That is enough, and the episode ends. Then the
// reserve is released and refilled by hand.
import { spawn as spawnBeside } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MemoryGroup, MemoryReserve, probe, spawn } from 'cgroup-oom'

const MiB = 2 ** 20
const mib = bytes => `${Math.round(bytes / MiB)} MiB`

// Sends 'ready', fills as many bytes as it is sent, and sends their number.
const JOB = `
  let held
  process.on('message', bytes => {
    held = Buffer.alloc(bytes, 1)
    process.send(held.length)
  })
  process.send('ready')`

if (process.argv[3] === 'inside') await inside()
else await outside()

async function outside() {
  const noSwap = (await probe()).swap.available ? { swapMax: 0 } : {}
  const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
  const group = await MemoryGroup.create(path, { max: '160M', ...noSwap })
  process.once('SIGINT', () => group.remove({ kill: true }).finally(() => process.exit(130)))
  try {
    const self = fileURLToPath(import.meta.url)
    const child = spawn(process.execPath, [self, group.path, 'inside'], { group, stdio: 'inherit' })
    const [code] = await once(child, 'exit')
    process.exitCode = code ?? 1
  } finally {
    await group.remove({ kill: true })
  }
}

async function inside() {
  const group = await MemoryGroup.of('self')
  const guard = await group.guard({
    delayMs: 5000,
    reserve: { ballast: '32M' },
    plan: [{ afterMs: 0, action: 'ballast' }],
  })
  const reserve = new MemoryReserve('8M')

  // A child is in the group of its parent.
  const job = spawnBeside(process.execPath, ['-e', JOB], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(job, 'message') // ready: what it needs to run, it has
  const { max } = await group.limits()
  const wanted = max - (await group.usage()) + 16 * MiB
  const filled = once(job, 'message')
  job.send(wanted)

  for await (const episode of guard) {
    const { outcome, steps } = await episode.ended
    console.log(`out of memory, ended by: ${outcome} (${steps.map(step => step.action).join()})`)
    break
  }
  const [got] = await filled
  console.log(`the job has got all it wanted: ${got === wanted}`)

  const before = await group.usage()
  const released = reserve.release()
  console.log(`released ${mib(released)}, in use: ${mib((await group.usage()) - before)}`)
  reserve.refill()
  reserve.close()
  job.kill()
  await guard.dispose()
}
