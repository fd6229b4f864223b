// ffmpeg within 256 MiB: a file that needs more is transcoded again, in a smaller size and by one thread.
//
//   node ffmpeg.js INPUT OUTPUT
import { run } from 'cgroup-oom'

const [input, output] = process.argv.slice(2)
const limits = { max: '256M', swap: false, timeoutMs: 600_000 }
const transcode = (...how) =>
  run('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-i', input, ...how, output], limits)

let report = await transcode()
console.log(report.summary)
if (report.oom !== 'no') {
  report = await transcode('-vf', 'scale=640:-2', '-threads', '1')
  console.log(`in a smaller size: ${report.summary}`)
}
if (report.code !== 0) console.error(report.stderr)
process.exitCode = report.code ?? 1
