// Guards a group and ends in one of many ways; it prints "armed" when the guard is. With "episode" the
// group is out of memory by then.
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { MemoryGroup } from '../../lib/index.js'

const [dir, how, more] = (isMainThread ? process.argv.slice(2) : workerData) as [
  string,
  string,
  string | undefined,
]

async function arm() {
  const group = await MemoryGroup.open(dir)
  const guard = await group.guard({ delayMs: 60_000, guardian: false })
  if (more === 'episode') {
    const { Hog } = await import('./hog.js')
    const hog = await Hog.start(dir)
    hog.fill(24 * 1024 * 1024).catch(() => {})
    hog.child.unref()
    for (const stream of [hog.child.stdin, hog.child.stdout]) {
      ;(stream as unknown as { unref(): void }).unref()
    }
    for await (const _ of guard) break
  }
  return guard
}

if (!isMainThread) {
  await arm()
  parentPort!.postMessage('armed')
  if (how === 'worker-throw') setTimeout(() => JSON.parse('{'), 10)
  if (how === 'worker-exit') process.exit(0)
  if (how !== 'worker-end') setInterval(() => {}, 1000)
} else if (how.startsWith('worker')) {
  const worker = new Worker(process.argv[1]!, {
    argv: [],
    execArgv: process.execArgv,
    workerData: [dir, how, more],
  })
  worker.on('error', () => {})
  worker.once('message', () => {
    console.log('armed')
    if (how === 'worker-terminate') void worker.terminate()
    if (how === 'worker-main-exit') process.exit(0)
  })
  worker.on('exit', () => console.log('over'))
} else {
  if (how === 'exit-arming') {
    void arm()
    setTimeout(() => process.exit(0), Number(more))
  } else {
    const guard = await arm()
    console.log('armed')
    if (how === 'exit') process.exit(0)
    if (how === 'throw') setTimeout(() => JSON.parse('{'), 10)
    if (how === 'reject') void Promise.reject(new Error('this is not caught'))
    if (how === 'iterating') {
      // Keeps the loop alive, until it is left.
      setTimeout(() => void guard.dispose(), 300).unref()
      for await (const _ of guard) break
      console.log('left')
    }
  }
}
