// exitReport() in a container's default: uid 1000 without capabilities, cgroupfs read-only, the supervisor and its
// jobs in one group that it cannot write.
// lab: short on 6.1/v2
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { BudgetReport, ExitReport, JobReport } from '../../../lib/index.js'
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

// tail keeps all of a line; the process group is the job's own.
const GREEDY = JSON.stringify(['-c', `head -c ${2 * LIMIT} /dev/zero | tail -n 1`])

t.test('run() where no group can be made', { skip }, async t => {
  const { remote } = await supervisor(t)
  const fine = await remote.run<JobReport>("return oom.run('echo', ['done'])")
  t.match(fine, { oom: 'no', code: 0, stdout: 'done\n', timedOut: false, ownGroup: false })
  t.match(fine.timeline[0]!.text, /, in no group of its own: \w/)
  const warnings = await remote.run(`
    const warnings = []
    const add = ({ code }) => warnings.push(code)
    process.on('warning', add)
    for (const max of ['max', '64M', '64M']) await oom.run('true', [], { max })
    await new Promise(setImmediate)
    process.off('warning', add)
    return warnings`)
  t.same(warnings, ['OOM_JOB_UNLIMITED'], 'once, if a limit was wanted')
  const guarded = await remote.run<JobReport>(
    `return oom.run('sh', ${GREEDY}, { policy: ['kill-group'], delayMs: 5000 })`,
  )
  t.match(guarded, { oom: 'yes', by: 'guard', kernelKills: 0, stdout: '' })
  t.ok(
    guarded.timeline.some(({ event }) => event === 'episode-end'),
    JSON.stringify(guarded.timeline),
  )
  t.match(await remote.run("return oom.run('true')"), { oom: 'no', code: 0 })
})

t.test('a budget where no groups can be made', { skip }, async t => {
  const { remote } = await supervisor(t)
  const reports = await remote.run<BudgetReport[]>(`
    const group = await oom.MemoryGroup.of('self')
    const budget = new oom.MemoryBudget({ group, most: 2, delayMs: 10_000 })
    const stdio = 'ignore'
    const reports = await Promise.all([
      budget.run('true', [], { stdio }),
      budget.run('sh', ${GREEDY}, { stdio }),
      budget.run('true', [], { stdio }),
    ])
    await budget.close()
    return reports`)
  const [first, greedy, last] = reports
  t.match(first, { code: 0, attempts: 1 })
  t.match(greedy, { attempts: 2, kernelKills: 0, signal: 'SIGKILL' })
  t.match(greedy!.oom, /^(yes|likely)$/)
  t.match(last, { code: 0 })
})
