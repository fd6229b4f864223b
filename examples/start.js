// A group runs out of memory twice. The first time a handler raises its limit; the second time it is
// left alone on purpose, and when the delay is over the kernel's killer steps in.
//
//   npm start                        (as root, with a writable cgroup v1 memory controller)
//
// Expect a timeline of about three seconds: who did what, when (seconds from the first OOM), and what
// the group used of what it had. Everything is real: the group, the job that fills it, the kill.
// The group is called cgroup-oom-demo-<pid> and is removed at the end, whatever happens.
import { setTimeout as sleep } from 'node:timers/promises'
import { once } from 'node:events'
import { MemoryGroup, spawn } from 'cgroup-oom'

const MiB = 2 ** 20
const parent = process.argv[2] ?? '.' // where the group is made; '.': the hierarchy's mount

// The greedy job: 2 MiB more every 20 ms, for ever.
const JOB = 'const held = []; setInterval(() => held.push(Buffer.alloc(2 << 20, 1)), 20)'

const rows = []
let zero // the first OOM

/** Notes who did what; `at` and the sizes are filled in from now where they are not given. */
function note(who, what, { at = process.hrtime.bigint(), usage, limit } = {}) {
  rows.push({ at, who, what, usage, limit })
}

/** Prints what has been noted, in the order in which it happened. */
function print(samples) {
  for (const row of rows.splice(0).sort((a, b) => Number(a.at - b.at))) {
    const sample = samples.find(({ at }) => at >= row.at) ?? samples.at(-1)
    const { usage, limit } = { ...sample, ...JSON.parse(JSON.stringify(row, (_, v) => typeof v === 'bigint' ? undefined : v)) }
    const time = (Number(row.at - zero) / 1e9).toFixed(4)
    console.log([time.padStart(8), mib(usage), mib(limit), row.who.padEnd(8), row.what].join('  '))
  }
}

const mib = bytes => `${(bytes / MiB).toFixed(1).padStart(5)} MiB`
