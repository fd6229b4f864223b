// The tools of an agent: commands that somebody else has chosen. Each has 64 MiB and two seconds, leaves nothing
// behind, and comes back with an answer that can be read: what it printed, or why it did not.
//
//   node examples/tool-runner.js [PARENT]
//
// Expect one answer, one command that used too much memory, though its shell ended with 0, and one that took too long.
import { MemoryGroup, run } from 'cgroup-oom'

const [, , place] = process.argv
const parent = place ? await MemoryGroup.open(place) : await MemoryGroup.home()

async function tool(command) {
  const limits = { parent, max: '64M', swap: false, timeoutMs: 2000, capture: '16K' }
  const { code, oom, timedOut, stdout } = await run('sh', ['-c', command], limits)
  if (timedOut) return 'ended after 2 s'
  if (oom === 'yes') return 'ended: it needs more than 64 MiB'
  return code === 0 ? `answered: ${stdout?.trim()}` : `failed with ${code}`
}

console.log(await tool('echo 6 times 7 is $((6 * 7))'))
console.log(await tool('sh -c "x=0123456789; while :; do x=\\$x\\$x; done" || true'))
console.log(await tool('sleep 1000'))
console.log(await tool('exit 3'))
await parent.close()
