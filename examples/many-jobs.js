// Many jobs in one process: each in a group of its own, each group with a guard of its own, and a tenth of
// them out of memory at the same moment.
//
//   node examples/many-jobs.js [PARENT [COUNT]]
//
// 500 jobs with 4 MiB each. When all of them run, each is told how much it needs: most almost nothing, one in
// twenty 4.5 MiB, one in twenty no end of it. The policy: a job that runs out of memory is given 4 MiB more,
// once; the second time it is killed. Expect "modest: 450 done", "growing: 25 done" after an episode each,
// "greedy: 25 killed" after two or more, and no kill by the kernel. A guard and its group take six descriptors in
// this process and six in the guardian (v1): 500 jobs fit into 4,500, without any sysctl changed.
import { once } from 'node:events'
import { join } from 'node:path'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

// Waits for a number, and then has so many times 32 KiB in memory. It meets the limit in its own code: on v1 a
// system call does not wait for memory, but fails.
const JOB = `{
  piece = "0123456789abcdef"
  while (length(piece) < 32768) piece = piece piece
  for (i = 0; i < $1; i++) held[i] = piece i
}`

const KINDS = [
  { name: 'modest', size: 1 },
  { name: 'growing', size: 144 },
  { name: 'greedy', size: 1e9 },
]
const kindOf = i => (i % 20 === 0 ? 1 : i % 20 === 10 ? 2 : 0)

class Job {
  episodes = []
  #group
  #guard
  #handling
  #raised = false

  /** Makes the group, guards it, and starts the job in it, which waits. */
  async start(path, limits, kind) {
    this.kind = kind
    this.#group = await MemoryGroup.create(path, limits)
    // Whatever happens to this program's attention: after two minutes the largest process goes.
    this.#guard = await this.#group.guard({ delayMs: 120_000, fallback: 'kill-largest' })
    this.#handling = this.#handle()
    this.child = spawn('awk', [JOB], {
      group: this.#group,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    this.child.stdin.on('error', () => {}) // it may be killed before it has read
    this.exited = once(this.child, 'exit')
    await once(this.child, 'spawn')
  }

  async #handle() {
    for await (const episode of this.#guard) {
      try {
        if (this.#raised) await episode.kill('all')
        else await episode.raiseLimit({ by: '4M' })
        this.#raised = true
      } catch (error) {
        // An episode may end by itself meanwhile: then the next one follows, if there is need for one.
        const { code } = /** @type {NodeJS.ErrnoException} */ (error)
        if (code !== 'ERR_EPISODE_ENDED' && code !== 'ESRCH') throw error
      }
      this.episodes.push(await episode.ended)
    }
  }

  tell() {
    this.child?.stdin.end(`${this.kind?.size}\n`)
  }

  async abandon() {
    this.child?.kill('SIGKILL')
    await this.#guard?.dispose()
  }

  /** How it ended; its group is gone then. */
  async end() {
    const [code, signal] = (await this.exited) ?? []
    const { oomKill } = await this.#group.counters()
    await this.#guard.dispose()
    await this.#handling
    await this.#group.remove({ kill: true })
    await this.#group.close()
    return { kind: this.kind.name, done: code === 0 && signal === null, oomKill }
  }
}

/** Some at a time: the calls of handlers go through the same pool of threads, and are not to wait for 500. */
async function each(list, use) {
  const rest = list.entries()
  const one = async () => {
    for (const [i, item] of rest) await use(item, i)
  }
  await Promise.all(Array.from({ length: 8 }, one))
}

const [parent = '.', count = '500'] = process.argv.slice(2)
const top = await MemoryGroup.create(join(parent, `cgroup-oom-example-${process.pid}`))
const jobs = Array.from({ length: Number(count) }, () => new Job())
const results = []
let finished = false
try {
  const limits = { max: '4M', ...((await probe()).swap.available ? { swapMax: 0 } : {}) }
  await each(jobs, (job, i) => job.start(join(top.path, String(i)), limits, KINDS[kindOf(i)]))
  console.log(`${jobs.length} jobs in groups of their own, each guarded`)
  for (const job of jobs) job.tell()
  await each(jobs, async (job, i) => (results[i] = await job.end()))
  finished = true
} finally {
  // Where something has failed: what runs is ended, with all groups.
  if (!finished) await Promise.allSettled(jobs.map(job => job.abandon()))
  await top.remove({ kill: true })
}

for (const { name } of KINDS) {
  const mine = results.filter(({ kind }) => kind === name)
  const done = mine.filter(job => job.done).length
  const episodes = jobs.filter(job => job.kind.name === name).map(job => job.episodes.length)
  const killed = mine.length - done
  const ends = [done > 0 ? `${done} done` : '', killed > 0 ? `${killed} killed` : '']
  console.log(
    `${name}: ${ends.filter(Boolean).join(', ')}; episodes: ${episodes.reduce((sum, n) => sum + n, 0)}`,
  )
}
const episodes = jobs.flatMap(job => job.episodes)
for (const outcome of new Set(episodes.map(episode => episode.outcome))) {
  console.log(`${outcome}: ${episodes.filter(episode => episode.outcome === outcome).length}`)
}
console.log(`kills by the kernel: ${results.reduce((sum, { oomKill }) => sum + oomKill, 0)}`)
