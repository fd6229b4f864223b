// Workers that are terminated while calls are under way: the promise comes due in an environment in
// which no JavaScript may run any more, and nothing may crash or leak.
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import { nativeFile } from '../../../lib/native/load.js'
import { mount } from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'
import { CLEAN, script as runScript } from '../../helpers/script.js'

// Plain JavaScript on the addon itself: a worker that loads TypeScript takes seconds to start.
const script = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { GroupHandle, memoryGroupOf, memoryMount } = require(workerData.addon)
  const busy = async () => {
    const group = new GroupHandle()
    await group.open(workerData.path)
    parentPort.postMessage('busy')
    for (;;) {
      await Promise.allSettled([
        new GroupHandle().open(workerData.path),
        new GroupHandle().open('/none'),
        memoryGroupOf(0),
        memoryMount(),
        group.usage(),
        group.limits(),
        group.counters(),
        group.pids(true),
        group.occupied(),
        group.setLimits({ max: 1 }),
        group.kill(true, false),
      ])
    }
  }
  busy()`

t.test('terminated in the middle of everything', async t => {
  const fds = () => readdirSync('/proc/self/fd').length
  const workerData = { addon: nativeFile('cgroup_oom.node'), path: mount }
  const before = fds()
  for (let i = 0; i < 30; i++) {
    const worker = new Worker(script, { eval: true, execArgv: [], workerData })
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    await sleep(i % 5)
    t.equal(await worker.terminate(), 1)
  }
  await until(() => fds() <= before + 2)
  t.type(await (await MemoryGroup.open('.')).usage(), 'number', 'the other thread goes on')
})

t.test('what is started in a worker warns of nothing', async t => {
  const dir = scratch(t)
  const result = await runScript(`
    const code = \`
      const { run, spawn, exitReport, MemoryGroup } = require('\${DIST}/index.js')
      MemoryGroup.open(${JSON.stringify(dir)}).then(async group => {
        await exitReport(spawn('true', [], { group, stdio: 'ignore' }))
        await run('true', [], { parent: group, delayMs: 100 })
        await (await group.guard({ delayMs: 100, guardian: { group: await MemoryGroup.of('self') } })).dispose()
        await group.close()
      })\`
    await new Promise((done, failed) => new Worker(code, { eval: true }).once('exit', done).once('error', failed))
  `)
  t.match(result, CLEAN)
})
