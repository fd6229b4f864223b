// A heap snapshot before the end: a Node.js program that is out of memory gets 256 MiB more and 30 s to write its heap
// to a file in its working directory, which Chrome's developer tools open.
//
//   node heap-snapshot.js PROGRAM [ARGUMENT…]
import { run } from 'cgroup-oom'

const FIRST = `import { writeHeapSnapshot } from 'node:v8'
process.on('SIGUSR2', () => { console.log('snapshot: ' + writeHeapSnapshot()); process.exit(70) })`

const first = ['--import', `data:text/javascript,${encodeURIComponent(FIRST)}`]
const { summary } = await run(process.execPath, [...first, ...process.argv.slice(2)], {
  max: '96M',
  swap: false,
  capture: false,
  delayMs: 60_000,
  policy: [{ signal: 'SIGUSR2', headroom: '256M', waitMs: 30_000 }, 'kill-group'],
})
console.log(summary)
