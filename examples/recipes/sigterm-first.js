// SIGTERM first: a program that is out of memory is asked to end, with 32 MiB more and two seconds to save its work.
// What has not ended by then is killed.
//
//   node sigterm-first.js COMMAND [ARGUMENT…]
import { run } from 'cgroup-oom'

const [command, ...args] = process.argv.slice(2)
const { summary } = await run(command, args, {
  max: '128M',
  swap: false,
  capture: false,
  delayMs: 5000,
  policy: [{ signal: 'SIGTERM', headroom: '32M', waitMs: 2000 }, 'kill-group'],
})
console.log(summary)
