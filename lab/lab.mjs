// Runs a command under another kernel: node lab/lab.mjs [options] -- command…
import { parseArgs } from 'node:util'
import { Lab } from './machine.mjs'
import { fail } from '../scripts/run.mjs'

const HELP = `npm run lab -- [options] -- command [argument…]

Boots a kernel under software emulation with this machine's Node.js and the built project inside, runs
the command there in the project's directory, and ends with its exit status; 125 when the machine itself failed or ran out of time.

  -k, --kernel VERSION   5.10, 6.1, 6.12, …, newest: the newest of that version in Debian's archive (6.1)
  -g, --cgroup v1|v2     the memory controller's version (v2)
  -t, --timeout SECONDS  ends the machine after this time (300)
  -m, --memory MIB       of the machine (1024)
  -e, --env NAME=VALUE   for the command; may be given again
  -o, --option OPTION    for the kernel's command line, as cgroup_disable=memory; may be given again
  -v, --verbose          the kernel's console as well, at the end
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string', short: 'k', default: '6.1' },
    cgroup: { type: 'string', short: 'g', default: 'v2' },
    timeout: { type: 'string', short: 't', default: '300' },
    memory: { type: 'string', short: 'm', default: '1024' },
    env: { type: 'string', short: 'e', multiple: true, default: [] },
    option: { type: 'string', short: 'o', multiple: true, default: [] },
    verbose: { type: 'boolean', short: 'v' },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}
if (positionals.length === 0 || !['v1', 'v2'].includes(values.cgroup)) fail(HELP)

try {
  const lab = new Lab()
  const { status, console: log } = await lab.run({
    kernel: await lab.kernel(values.kernel),
    version: values.cgroup,
    argv: positionals,
    env: Object.fromEntries(values.env.map(text => text.split(/=(.*)/s, 2))),
    seconds: Number(values.timeout),
    memory: Number(values.memory),
    options: values.option,
    output: data => process.stdout.write(data),
  })
  if (values.verbose || status === undefined) console.error(log)
  process.exitCode = status ?? 125
} catch (error) {
  fail(`lab: ${error.message}`)
}
