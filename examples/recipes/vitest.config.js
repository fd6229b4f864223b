// Vitest: each worker has 512 MiB of its own, instead of a pool of forks without a limit. A test file that needs more is
// killed and named, and the others go on.
import { exitReport, groupOptions, MemoryGroup } from 'cgroup-oom'
import { defineConfig } from 'vitest/config'
import { ForksPoolWorker } from 'vitest/node'

const home = await MemoryGroup.home()
let made = 0

class LimitedWorker extends ForksPoolWorker {
  async start() {
    const name = `vitest-${process.pid}-${++made}`
    const group = await home.create(name, { max: '512M', swap: false })
    const { command, args } = groupOptions(group)
    const node = process.execPath
    this.execArgv = [...args, node, ...this.execArgv]
    process.execPath = command // start() calls fork(), which takes it, before it returns
    const started = super.start()
    process.execPath = node
    void this.report(group, exitReport(this.fork))
    await started
  }

  async report(group, ended) {
    const { oom, summary } = await ended
    if (oom !== 'no') console.error(`${this.files}: ${summary}`)
    await group.remove({ kill: true })
  }

  send(message) {
    if (message.type === 'run') this.files = message.context.files.map(file => file.filepath)
    super.send(message)
  }
}

export default defineConfig({
  test: {
    pool: { name: 'limited-forks', createPoolWorker: options => new LimitedWorker(options) },
  },
})
