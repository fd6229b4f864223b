// An agent's tool call: a command that a model has chosen gets 256 MiB and ten seconds. The model gets an answer
// that it can act on, and nothing of the command is left.
//
//   node tool-call.js 'COMMAND'
import { run } from 'cgroup-oom'

async function tool(command) {
  const limits = { max: '256M', swap: false, timeoutMs: 10_000, capture: '16K' }
  const report = await run('sh', ['-c', command], limits)
  const { oom, timedOut, code, stdout, stderr } = report
  if (timedOut) return { error: 'It took longer than 10 s and was ended.' }
  if (oom === 'yes') return { error: `It needs more than 256 MiB: ${report.summary}.` }
  return { code, stdout, stderr }
}

console.log(JSON.stringify(await tool(process.argv[2])))
