// Jest: all workers together have 512 MiB. When that is used up the largest worker is killed, its test file fails, and
// the others go on. In the configuration: { "runner": "./jest-runner.js" }
import { groupOptions, MemoryGroup } from 'cgroup-oom'
import TestRunner from 'jest-runner'

export default class extends TestRunner {
  async runTests(tests, watcher) {
    const home = await MemoryGroup.home()
    const group = await home.create(`jest-${process.pid}`, { max: '512M', swap: false })
    const guard = await group.guard({ delayMs: 1000, policy: ['kill-largest'] })
    void tell(guard)
    const { execPath, execArgv } = process
    Object.assign(process, groupOptions(group).fork) // what jest-worker takes for its workers
    await super.runTests(tests, watcher, { serial: false }).finally(async () => {
      Object.assign(process, { execPath, execArgv })
      await guard.dispose()
      await group.remove({ kill: true })
    })
  }
}

async function tell(guard) {
  for await (const { ended } of guard) console.error(`Jest's workers: ${(await ended).summary}`)
}
