// Guards the group that this program lives in, as in a container that it may not write.
//
//   node examples/container.js [PARENT]
//
// This program starts itself again inside a group of 256 MiB, as a container's runtime would. There it guards
// its own group, without writing to it, and runs two jobs: one that needs little, and one that takes memory
// without end. Expect: at a line below the limit both are stopped, the greedy one is killed at the deadline,
// the other goes on and ends well, and this program lives.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MemoryGroup, spawn as spawnInto } from 'cgroup-oom'

const MODEST = 'setTimeout(() => {}, 3000)'
const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)'

if (process.argv[3] === 'inside') await inside()
else await outside()

async function outside() {
  const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
  const group = await MemoryGroup.create(path, { max: '256M' })
  process.once('SIGINT', () => group.remove({ kill: true }).finally(() => process.exit(130)))
  try {
    const self = fileURLToPath(import.meta.url)
    const child = spawnInto(process.execPath, [self, path, 'inside'], { group, stdio: 'inherit' })
    const [code] = await once(child, 'exit')
    process.exitCode = code ?? 1
  } finally {
    await group.remove({ kill: true })
  }
}

async function inside() {
  const group = await MemoryGroup.of('self')
  // 'auto' would take the kernel's hold where the group can be written.
  const guard = await group.guard({ delayMs: 500, hold: { by: 'signals' } })
  // Sessions of their own: they live on, whatever happens to this program.
  const job = code => spawn(process.execPath, ['-e', code], { stdio: 'ignore', detached: true })
  const modest = job(MODEST)
  const greedy = job(GREEDY)
  const ends = Promise.all([once(modest, 'exit'), once(greedy, 'exit')])
  for await (const episode of guard) {
    console.log(`held by ${guard.heldBy}: the jobs are stopped until ${guard.delayMs} ms are over`)
    const { outcome, killed, kernelKills } = await episode.ended
    const who = killed.some(pid => pid === greedy.pid) ? 'the greedy job' : 'another process'
    console.log(`${outcome}: ${who} was killed, and ${kernelKills} by the kernel`)
    break
  }
  const [[code], [, signal]] = await ends
  console.log(`the modest job has ended with ${code}, the greedy one by ${signal}`)
  await guard.dispose()
}
