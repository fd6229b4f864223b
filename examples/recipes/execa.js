// execa: a command in a group of 256 MiB, and why it ended.
//
//   node execa.js COMMAND [ARGUMENT…]
import { exitReport, groupOptions, MemoryGroup } from 'cgroup-oom'
import { execa } from 'execa'

const home = await MemoryGroup.home()
const group = await home.create(`execa-${process.pid}`, { max: '256M', swap: false })
const { command, args } = groupOptions(group)
const job = execa(command, [...args, ...process.argv.slice(2)], { reject: false })
const [{ stdout, exitCode }, { oom, summary }] = await Promise.all([job, exitReport(job)])
await group.remove({ kill: true })

if (stdout) console.log(stdout)
if (oom !== 'no') console.error(summary)
process.exitCode = exitCode ?? 1
