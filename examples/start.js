// A group runs out of memory twice. The first time a handler raises its limit. The second time it is
// left alone on purpose: a plan raises the limit by some headroom, and when the delay is over the kernel's
// killer decides.
//
//   npm start      (as root, on a machine with a writable memory controller, cgroup v1 or v2)
//
// Expect a timeline of about two seconds. Each line has the time (milliseconds from the first OOM), the
// group's usage and limit at that time, who acted, and what was done. All of it is real: the group, the
// job that fills it, the kill. The group is called cgroup-oom-demo-<pid> and is always removed at the end.
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup, probe, spawn } from 'cgroup-oom'

const DELAY_MS = 1000
const LIMIT = '64M'
const RAISE = '32M'
/** @type {import('cgroup-oom').HeadroomStep[]} */
const PLAN = [{ afterMs: 500, action: 'headroom', bytes: '8M' }]

const RELEASED = "the delay is over: releases the group to the kernel's killer"

// 2 MiB more every 10 ms, without end.
const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(2 << 20, 1)), 10)'

const { addon, memory, writable, guard: canGuard, swap } = await probe()
const missing = [addon, memory, writable, canGuard].find(capability => !capability.available)
if (missing) {
  console.error('This demonstration needs a cgroup memory controller that it may write to.')
  console.error(`Missing:    ${missing.reason}`)
  console.error(`What to do: ${missing.remedy}`)
  process.exit(1)
}

const parent = process.argv[2] ?? '.' // where to make the group; '.' is the top of the hierarchy
const creating = MemoryGroup.create(join(parent, `cgroup-oom-demo-${process.pid}`), {
  max: LIMIT,
  ...(swap.available ? { swapMax: 0 } : {}), // so that full means out of memory
})
let removed
const remove = () => (removed ??= creating.then(group => group.remove({ kill: true })))
for (const [signal, status] of Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 })) {
  process.once(signal, () => remove().finally(() => process.exit(status)))
}
const group = await creating
async function demonstrate() {
  console.log(`group  ${group.path}, ${LIMIT}`)
  console.log(`guard  delay ${DELAY_MS} ms, then the kernel's killer`)
  console.log(`plan   ${PLAN[0].bytes} of headroom after ${PLAN[0].afterMs} ms`)
  const guard = await group.guard({ delayMs: DELAY_MS, plan: PLAN })
  const watch = group.watch()
  const timeline = new Timeline()

  const job = spawn(process.execPath, ['-e', GREEDY], { group, stdio: 'ignore' })
  const exited = once(job, 'exit')
  await once(job, 'spawn')
  timeline.add('job', `starts (pid ${job.pid}) and allocates without end`)

  for await (const episode of guard) {
    timeline.zero ||= episode.startedAt
    const { id, startedAt, usage, limit } = episode
    timeline.add('kernel', `episode ${id}: out of memory, the job waits`, startedAt, {
      usage,
      limit,
    })
    if (id === 1) {
      const now = process.hrtime.bigint()
      await episode.raiseLimit({ by: RAISE })
      timeline.add('handler', `raises the limit by ${RAISE}`, now, {
        limit: (await group.limits()).max,
      })
    } else {
      timeline.add('handler', 'leaves it alone, on purpose')
    }
    await timeline.print()

    const { outcome, at, lateNs, steps } = await episode.ended
    for (const step of steps) {
      if (step.action === 'headroom')
        timeline.add('plan', `raises the limit by ${PLAN[0].bytes} of headroom`, step.at)
      else timeline.add('sentinel', RELEASED, step.at)
    }
    if (outcome === 'fallback') timeline.add('kernel', 'kills the job', (await kill(watch)).at)
    const late = outcome === 'fallback' ? `, ${(lateNs / 1e6).toFixed(3)} ms late` : ''
    timeline.add('sentinel', `episode ${id} is over: ${outcome}${late}`, at)
    await timeline.print()
    if (outcome === 'fallback') break
  }
  const [, signal] = await exited
  timeline.add('job', `is gone: ${signal}`)
  await timeline.print()
  await timeline.stop()
  await guard.dispose()
}

/** The next kill that the watch reports. */
async function kill(watch) {
  for await (const event of watch) if (event.type === 'kill') return event
  throw new Error('the group was removed')
}

/** What has happened, with the group's usage and limit at that time. */
class Timeline {
  zero = 0n
  #rows = []
  #samples = []
  #stopped = false
  #sampling = this.#sample()

  constructor() {
    columns('\n  time ms', '    usage', '    limit', 'who     ', 'what')
  }

  add(who, what, at = process.hrtime.bigint(), sizes = {}) {
    this.#rows.push({ at, who, what, sizes })
  }

  async print() {
    await this.#takeSample()
    for (const row of this.#rows.splice(0).sort((a, b) => (a.at < b.at ? -1 : 1))) {
      const sample = this.#samples.find(({ at }) => at >= row.at)
      const { usage, limit } = { ...sample, ...row.sizes }
      const time = (Number(row.at - this.zero) / 1e6).toFixed(1).padStart(9)
      columns(time, mib(usage), mib(limit), row.who.padEnd(8), row.what)
    }
  }

  async stop() {
    this.#stopped = true
    await this.#sampling
  }

  async #takeSample() {
    const at = process.hrtime.bigint()
    this.#samples.push({ at, usage: await group.usage(), limit: (await group.limits()).max })
  }

  async #sample() {
    try {
      for (; !this.#stopped; await sleep(5)) await this.#takeSample()
    } catch {
      // The group has been removed.
    }
  }
}

function mib(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`.padStart(9)
}

function columns(...texts) {
  console.log(texts.join('  '))
}

try {
  await demonstrate()
} catch (error) {
  if (!removed) throw error // else it was interrupted
} finally {
  await remove()
}
