// bubblewrap: a command sees the file system read-only, no network and no other process, and has 256 MiB and a minute.
//
//   node bwrap.js COMMAND [ARGUMENT…]
import { run } from 'cgroup-oom'

const sandbox = ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp']
const alone = ['--unshare-all', '--die-with-parent', '--new-session', '--chdir', '/tmp']
const { code, stdout, stderr, summary } = await run(
  'bwrap',
  [...sandbox, ...alone, '--', ...process.argv.slice(2)],
  { max: '256M', swap: false, timeoutMs: 60_000 },
)
process.stdout.write(stdout ?? '')
process.stderr.write(stderr ?? '')
console.error(summary)
process.exitCode = code ?? 1
