// The library inside a supervisor of one's own that runs many jobs: a group for each, below one that
// is guarded. One guard is enough: groups made below a guarded one inherit it.
//
//   node examples/supervisor.js [PARENT]
//
// Three jobs with 64 MiB each: "modest" needs less, "growing" needs some more, "greedy" has no bound. The
// policy: a job that runs out of memory is given 64 MiB more, once; the second time it is killed.
// Expect "modest" to end without an episode, "growing" after one, "greedy" to be killed in its second.
import { once } from 'node:events'
import { basename, join } from 'node:path'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

// Fills as many MiB as its argument says, one after the other, and ends.
const FILL = `
  const held = []
  const step = () => {
    if (held.length >= Number(process.argv[1])) process.exit()
    held.push(Buffer.alloc(1 << 20, 1))
    setTimeout(step, 1)
  }
  step()`

class Supervisor {
  #top
  #guard
  #handling
  #limits
  #jobs = new Map()

  static async start(path) {
    const supervisor = new Supervisor()
    supervisor.#limits = { max: '64M', ...((await probe()).swap.available ? { swapMax: 0 } : {}) }
    supervisor.#top = await MemoryGroup.create(path)
    // Whatever happens to this program's attention: after five seconds the largest goes.
    try {
      supervisor.#guard = await supervisor.#top.guard({ delayMs: 5000, fallback: 'kill-largest' })
    } catch (error) {
      await supervisor.stop()
      throw error
    }
    supervisor.#handling = supervisor.#handle()
    return supervisor
  }

  /** Runs a job in a group of its own and returns what became of it. */
  async run(name, command, args) {
    const group = await MemoryGroup.create(join(this.#top.path, name), this.#limits)
    try {
      const job = { episodes: [] }
      this.#jobs.set(name, job)
      const child = spawn(command, args, { group, stdio: ['ignore', 'inherit', 'inherit'] })
      const [code, signal] = await once(child, 'exit')
      return { name, code, signal, episodes: await Promise.all(job.episodes) }
    } finally {
      this.#jobs.delete(name)
      await group.remove({ kill: true }) // with what the job has left running
      await group.close()
    }
  }

  async stop() {
    await this.#guard?.dispose()
    await this.#handling
    await this.#top.remove({ kill: true })
  }

  async #handle() {
    for await (const episode of this.#guard) {
      // Not awaited: another job's episode may begin at any time.
      this.#decide(episode).catch(error => console.error(error.message))
    }
  }

  async #decide(episode) {
    const job = this.#jobs.get(basename(episode.group))
    job?.episodes.push(episode.ended.then(({ outcome }) => outcome))
    if (job?.episodes.length === 1) await episode.raiseLimit({ by: '64M' })
    else await episode.kill('all')
  }
}

const path = join(process.argv[2] ?? '.', `cgroup-oom-example-${process.pid}`)
const supervisor = await Supervisor.start(path)
process.once('SIGINT', () => supervisor.stop().finally(() => process.exit(130)))
try {
  const run = (name, size) => supervisor.run(name, process.execPath, ['-e', FILL, String(size)])
  const reports = await Promise.all([run('modest', 8), run('growing', 75), run('greedy', 1e6)])
  for (const { name, code, signal, episodes } of reports) {
    console.log(
      `${name}: ${signal ?? `exit code ${code}`}, episodes: ${episodes.join(', ') || 'none'}`,
    )
  }
} finally {
  await supervisor.stop()
}
