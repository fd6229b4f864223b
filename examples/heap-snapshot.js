// A heap snapshot of a Node.js job that is out of memory, before it is killed.
//
//   node examples/heap-snapshot.js [PARENT] [DIRECTORY]
//
// The job leaks in a group of 96 MiB. When the group is full, a plan raises its limit by 256 MiB and
// sends SIGUSR2 (native steps: they work however busy this process is), on which a job started with
// --heapsnapshot-signal=SIGUSR2 writes its heap to a file in its working directory. This program
// waits for the whole file, then kills the job. Expect the name of the snapshot (Chrome's developer
// tools open it) in DIRECTORY (default: a new one in the system's temporary directory).
//
// A snapshot begins with a garbage collection, which may end the episode for a moment: the headroom
// is then removed as far as usage allows, and the next episode raises the limit again.
import { once } from 'node:events'
import { mkdtemp, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

const LEAKY = `
  class Leaked { text = 'leaked ' + Math.random(); numbers = Array.from({ length: 200 }, Math.random) }
  const held = []
  setInterval(() => { for (let i = 0; i < 200; i++) held.push(new Leaked()) }, 10)`

const directory = process.argv[3] ?? (await mkdtemp(join(tmpdir(), 'heap-snapshot-')))
const noSwap = (await probe()).swap.available ? { swapMax: 0 } : {}
const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
const group = await MemoryGroup.create(path, { max: '96M', ...noSwap })
process.once('SIGINT', () => group.remove({ kill: true }).finally(() => process.exit(130)))

/**
 * Waits for the job to write its snapshot: a file that is JSON from beginning to end.
 * @param {AbortSignal} signal
 */
async function snapshot(signal) {
  for (; !signal.aborted; await sleep(50)) {
    const name = (await readdir(directory)).find(file => file.endsWith('.heapsnapshot'))
    if (name === undefined) continue
    const file = join(directory, name)
    if ((await readFile(file, 'utf8')).trimEnd().endsWith('}')) return file
  }
  return undefined
}

try {
  const guard = await group.guard({
    delayMs: 30_000, // for a snapshot that takes longer, more
    reserve: { headroom: '256M' },
    plan: [
      { afterMs: 0, action: 'headroom' },
      { afterMs: 0, action: 'signal', signal: 'SIGUSR2' },
    ],
  })
  const job = spawn(process.execPath, ['--heapsnapshot-signal=SIGUSR2', '-e', LEAKY], {
    group,
    cwd: directory,
    stdio: 'ignore',
  })
  const exited = once(job, 'exit')
  for await (const episode of guard) {
    console.log(`out of memory: ${episode.usage} of ${episode.limit} bytes`)
    const file = await snapshot(episode.signal)
    if (file) {
      console.log(`snapshot: ${file}`)
      await episode.kill('all')
    }
    const { outcome } = await episode.ended
    console.log(`outcome: ${outcome}`)
    if (outcome === 'killed' || outcome === 'fallback') break
  }
  const [, signal] = await exited
  console.log(`the job was ended by ${signal}`)
  await guard.dispose()
} finally {
  await group.remove({ kill: true })
}
