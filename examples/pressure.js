// Sheds load early: a cache is emptied at a usage threshold, long before there is an OOM.
//
//   node examples/pressure.js [PARENT]
//
// A worker in a group of 128 MiB fills a cache for ever. This program watches two early warnings, the
// group's usage crossing 80 MiB and the kernel's memory pressure on it, and has the worker empty its
// cache at each. Expect "shed" three times, and not one OOM at the end.
import { join } from 'node:path'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

const WORKER = `
  let cache = []
  setInterval(() => cache.push(Buffer.alloc(1 << 20, 1)), 20)
  process.on('message', () => { cache = []; gc() })
  process.on('disconnect', () => process.exit())`

const noSwap = (await probe()).swap.available ? { swapMax: 0 } : {}
const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
const group = await MemoryGroup.create(path, { max: '128M', ...noSwap })
process.once('SIGINT', () => group.remove({ kill: true }).finally(() => process.exit(130)))

try {
  const done = new AbortController()
  const { signal } = done
  const usage = group.watchUsage('80M', { signal })
  // v1 reports levels, v2 the time that tasks have lost waiting for memory.
  const pressure =
    group.version === 1
      ? group.watchPressure({ level: 'medium', signal })
      : group.watchPressure({ kind: 'some', stallMs: 200, windowMs: 2000, signal })
  const watch = group.watch({ signal })

  const worker = spawn(process.execPath, ['--expose-gc', '-e', WORKER], {
    group,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, MALLOC_MMAP_THRESHOLD_: '65536' }, // freed at once, not kept by malloc
  })
  worker.on('exit', () => done.abort()) // should it have been killed after all
  const empty = () => worker.connected && worker.send('empty your cache')
  let ooms = 0
  let shed = 0
  const loops = [
    async () => {
      // Reported in both directions: once above, once below again.
      for await (const event of usage) {
        if (!event.above) continue
        console.log(`shed: ${event.usage} bytes are in use`)
        empty()
        if (++shed === 3) worker.disconnect() // it ends
      }
    },
    async () => {
      for await (const event of pressure) {
        console.log(`shed: ${event.level ?? event.kind} pressure`)
        empty()
      }
    },
    async () => {
      for await (const event of watch) if (event.type === 'oom') ooms += event.count
    },
  ]
  await Promise.all(loops.map(loop => loop().catch(error => ignoreAbort(error))))
  console.log(`OOMs: ${ooms}`)
} finally {
  await group.remove({ kill: true })
}

/** Aborting a watch makes its loop throw an AbortError. */
function ignoreAbort(error) {
  if (error.name !== 'AbortError') throw error
}
