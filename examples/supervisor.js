// A runner of six jobs at a time, each in a group of its own with 64 MiB.
//
//   node examples/supervisor.js [PARENT]
//
// The policy: a job that runs out of memory is given 64 MiB more, once; the second time it is killed.
// Expect "tiny" and "modest" to end without an episode, "growing" and "large" after one, "greedy" to be killed in its
// second, and "failing" to fail for a reason of its own.
import { MemoryGroup, run } from 'cgroup-oom'

// Fills as many MiB as its argument says, one after the other, and ends.
const FILL = `
  const held = []
  const step = () => {
    if (held.length >= Number(process.argv[1])) process.exit(Number(process.argv[2]))
    held.push(Buffer.alloc(1 << 20, 1))
    setTimeout(step, 1)
  }
  step()`

const [, , place] = process.argv
const parent = place ? await MemoryGroup.open(place) : await MemoryGroup.home()

const job = async (name, size, status = 0) => {
  const report = await run(process.execPath, ['-e', FILL, String(size), String(status)], {
    parent,
    max: '64M',
    swap: false,
    policy: [{ raise: '64M' }, 'kill-group'],
  })
  const { code, signal, oom, episodes } = report
  return `${name}: ${signal ?? `exit code ${code}`}, out of memory: ${oom}, episodes: ${episodes}`
}

const jobs = [
  job('tiny', 1),
  job('modest', 8),
  job('growing', 75),
  job('large', 80),
  job('greedy', 1e6),
  job('failing', 1, 3),
]
for (const line of await Promise.all(jobs)) console.log(line)
await parent.close()
