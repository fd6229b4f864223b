// The table of life-cycle steps: each is reached in a child, which then ends in each of the ways that
// there are; it must end just so, with no killer left disabled and nothing left behind.
import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { bareEnv } from '../../helpers/bare-env.js'
import { allEnabled, overfill } from '../../helpers/faults.js'
import { isHeld, MiB, read } from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'

t.setTimeout(900_000)

const STEPS = ['import', 'open', 'watch', 'guard', 'episode', 'dispose', 'close'] as const
type Step = (typeof STEPS)[number]

const ENDINGS: Record<string, [code: number | null, signal: NodeJS.Signals | null]> = {
  'natural end': [0, null],
  exit: [3, null],
  throw: [1, null],
  SIGTERM: [null, 'SIGTERM'],
  SIGKILL: [null, 'SIGKILL'],
  'worker end': [0, null],
  'worker terminate': [0, null],
}

// Prints "ready" when the step is reached. In a worker, the main thread goes on after its end until the
// test has read the group's state.
const PROGRAM = `
'use strict'
const fs = require('node:fs')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')
const [dist, dir, step, how] = isMainThread ? process.argv.slice(1) : workerData
const print = text => fs.writeSync(1, text + '\\n')
const steps = ${JSON.stringify(STEPS)}
const reached = name => steps.indexOf(step) >= steps.indexOf(name)

async function live() {
  const { MemoryGroup } = require(dist + '/index.js')
  if (!reached('open')) return
  const group = await MemoryGroup.open(dir)
  const watch = reached('watch') ? group.watch().unref() : undefined
  if (watch) void watch.next()
  if (!reached('guard')) return
  const guard = await group.guard({ delayMs: 300 })
  if (step === 'episode') {
    print('armed')
    for await (const _ of guard) break
  }
  if (!reached('dispose')) return
  const disposed = guard.dispose()
  if (!reached('close')) return
  await disposed
  await watch.return()
  await group.close()
}

if (isMainThread && how.startsWith('worker')) {
  const worker = new Worker(process.env.PROGRAM, { eval: true, workerData: [dist, dir, step, how] })
  worker.once('message', () => {
    print('ready')
    if (how === 'worker terminate') void worker.terminate()
  })
  worker.once('exit', () => {
    print('after')
    process.stdin.resume() // until the test has read the group's state
  })
} else {
  void live().then(() => {
    if (!isMainThread) parentPort.postMessage('ready')
    else print('ready')
    if (how === 'exit') process.exit(3)
    if (how === 'throw') throw new Error('on purpose')
    if (how.startsWith('SIG') || how === 'worker terminate') setInterval(() => {}, 1000)
  })
}
`

async function run(t: Test, step: Step, how: string): Promise<void> {
  const dir = scratch(t, 16 * MiB, 600)
  const home = scratch(t, undefined, 600)
  const dist = join(process.cwd(), 'dist/commonjs/lib')
  const child = spawn(
    'env',
    [
      ...bareEnv(),
      `PROGRAM=${PROGRAM}`,
      'sh',
      '-c',
      `echo $$ >"$0"/cgroup.procs && exec "$@"`,
      home,
      process.execPath,
      '-e',
      PROGRAM,
      dist,
      dir,
      step,
      how,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  )
  t.teardown(() => child.kill('SIGKILL'))
  let held: boolean | undefined
  let stderr = ''
  child.stderr.on('data', data => (stderr += String(data)))
  const lines: string[] = []
  let lived: Promise<boolean> | undefined
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(line)
    if (line === 'armed') lived = overfill(t, dir).then(hog => hog.lived)
    if (line === 'after') {
      held = isHeld(dir)
      child.stdin.end()
    }
    if (line === 'ready' && how.startsWith('SIG')) child.kill(how as NodeJS.Signals)
  })
  const name = `${step}, ${how}`
  t.strictSame(await once(child, 'close'), ENDINGS[how], `${name}: ${stderr}`)
  if (how === 'throw') t.match(stderr, /Error: on purpose/, name)
  else t.equal(stderr, '', name)
  t.ok(lines.includes('ready'), `${name}: ${lines.join()}`)
  if (how.startsWith('worker')) t.equal(held, false, `${name}: released with the worker`)
  if (lived) t.notOk(await lived, `${name}: the kernel has decided`)
  await allEnabled(dir)
  await until(() => read(home, 'cgroup.procs') === '')
  // As if there had never been anything.
  const later = await overfill(t, dir)
  t.notOk(await later.lived, name)
}

for (const step of STEPS) {
  t.test(step, async t => {
    await Promise.all(Object.keys(ENDINGS).map(how => run(t, step, how)))
  })
}
