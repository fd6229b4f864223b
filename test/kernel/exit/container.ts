// exitReport() in a container's default: uid 1000 without capabilities, cgroupfs read-only, the supervisor and its
// jobs in one group that it cannot write.
// lab: short on 6.1/v2
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ExitReport } from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { MiB, mount } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { scratch } from '../../helpers/scratch.js'

const LIMIT = 192 * MiB
const CONTAINER = [
  ...['/usr/bin/unshare', '--mount', 'sh', '-c'],
  ...[`mount -o remount,bind,ro ${mount} && exec "$@"`, 'sh'],
  ...[compiled('confined'), '1000'],
]
const inside = (...command: string[]) =>
  spawnSync(CONTAINER[0]!, [...CONTAINER.slice(1), ...command]).status === 0
const skip = !inside('true')
  ? 'mount namespaces are not allowed here'
  : !inside('test', '-r', join(process.cwd(), 'dist/commonjs/lib/index.js'))
    ? 'uid 1000 cannot read this directory'
    : false

async function supervisor(t: Test): Promise<{ remote: Remote; home: string }> {
  const home = scratch(t, LIMIT)
  const remote = await Remote.start(t, { home, through: CONTAINER })
  return { remote, home }
}

/** What a job there ends with; `act` is JavaScript, in which `child` is the job. */
const job = (remote: Remote, act: string) =>
  remote.run<ExitReport>(`
    const { spawn } = require('node:child_process')
    const child = spawn(${JSON.stringify(compiled('hog'))}, [], { stdio: ['pipe', 'ignore', 'ignore'] })
    child.stdin.on('error', () => {})
    const report = oom.exitReport(child)
    ${act}
    return report`)

const FILL = `child.stdin.write('fill ${2 * LIMIT}\\n')`

t.test('what can be known is said, and nothing else', { skip }, async t => {
  const { remote } = await supervisor(t)
  const by = { kernelKills: 0, killed: [], limit: LIMIT }
  // The kernel may kill somewhere else on this machine; this group's counter can be read.
  t.match(await job(remote, 'child.stdin.end()'), { ...by, oom: 'no', code: 0 })
  t.match(await job(remote, "child.kill('SIGKILL')"), { ...by, oom: 'no', by: 'other' })
  const killed = await job(remote, FILL)
  t.match(killed, { oom: 'likely', by: 'kernel', signal: 'SIGKILL', kernelKills: 1, limit: LIMIT })
  t.notOk('peak' in killed, 'it is that of all')
})

t.test('a guard that holds by signals', { skip }, async t => {
  const { remote, home } = await supervisor(t)
  await remote.guard(home, { hold: { by: 'auto', band: '64M' }, delayMs: 20 })
  const report = await job(remote, FILL)
  t.match(report, { oom: 'yes', by: 'guard', origin: 'self', signal: 'SIGKILL', kernelKills: 0 })
  t.match(report, { episodes: 1 })
})
