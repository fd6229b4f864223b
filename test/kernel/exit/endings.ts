// exitReport(): each way in which a child ends, made for real, and what is said about it.
import { spawn as startPlain, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import {
  exitReport,
  groupOptions,
  MemoryGroup,
  spawn,
  type ExitReport,
  type GuardOptions,
} from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { limit, MiB, onV1, onV2, read, write } from '../../helpers/memory-files.js'
import { child as below, scratch, until } from '../../helpers/scratch.js'
import { inLab } from '../../helpers/swap.js'

const LONG = 60_000
const hog = compiled('hog')

interface Job {
  child: ChildProcess
  report: Promise<ExitReport>
}

/** A hog in the group, with a report that was asked for at once; it fills the memory when told to. */
function start(group: MemoryGroup, command = hog, args: string[] = []): Job {
  const child = spawn(command, args, { group, stdio: ['pipe', 'pipe', 'ignore'] })
  child.stdin.on('error', () => {})
  return { child, report: exitReport(child) }
}

const fill = ({ child }: Job, size = 64 * MiB) => child.stdin!.write(`fill ${size}\n`)

/** The report of a hog that fills a group of 16 MiB; `then`, once it does. */
async function greedy(t: Test, options?: GuardOptions, command?: string, args?: string[]) {
  const dir = scratch(t, 16 * MiB)
  const episodes = options && (await guarded(t, dir, options))
  const job = start(await openGroup(t, dir), command, args)
  fill(job)
  return { ...job, dir, episodes }
}

const NO = { oom: 'no', kernelKills: 0, killed: [], episodes: 0 }

t.test('it ends by itself', async t => {
  const group = await openGroup(t, scratch(t, 64 * MiB))
  for (const [script, code] of [
    ['exit 0', 0],
    ['exit 3', 3],
  ] as const) {
    const report = await start(group, 'sh', ['-c', script]).report
    t.match(report, { ...NO, code, signal: null, by: undefined, origin: undefined })
    t.equal(report.limit, 64 * MiB)
    t.ok(report.peak === undefined || report.peak < 64 * MiB)
    t.match(report.summary, new RegExp(String.raw`^exited with ${code}; not out of memory`))
  }
})

t.test('it was never started', async t => {
  const group = await openGroup(t, scratch(t))
  const { child, report } = start(group, '/no/such/command')
  t.match(await once(child, 'error'), [{ code: 'ENOENT' }], 'the error is still emitted')
  t.match(await report, { ...NO, code: null, signal: null, summary: /^not started; .*ENOENT/ })
  t.throws(() => exitReport({} as ChildProcess), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('a person ends it', async t => {
  const group = await openGroup(t, scratch(t, 64 * MiB))
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const { child, report } = start(group)
    await once(child.stdout!, 'readable')
    child.kill(signal)
    t.match(await report, { ...NO, by: 'other', code: null, signal })
  }
  const { child, report } = start(group, 'sh', ['-c', 'sleep 1000; exit $?'])
  await until(() => read(group.path, 'cgroup.procs').trim().split('\n').length === 2)
  const grandchild = (await group.pids()).find(pid => pid !== child.pid)!
  process.kill(grandchild, 'SIGKILL')
  t.match(await report, { ...NO, by: 'other', code: 137, signal: null })
})

t.test('a person ends it close to the limit: not known', async t => {
  const group = await openGroup(t, scratch(t, 16 * MiB))
  const job = start(group)
  job.child.stdout!.setEncoding('utf8')
  const printed = new Promise<void>(resolve => {
    job.child.stdout!.on('data', (text: string) => text.includes('filled') && resolve())
  })
  fill(job, 15.3 * MiB)
  await printed
  job.child.kill('SIGKILL')
  t.match(await job.report, { oom: 'unknown', by: 'other', signal: 'SIGKILL', kernelKills: 0 })
})

t.test('the kernel, at the limit of its own group', async t => {
  const { report } = await greedy(t)
  const found = await report
  t.match(found, { oom: 'yes', origin: 'self', by: 'kernel', signal: 'SIGKILL', killed: [] })
  t.match(found, { episodes: 0, limit: 16 * MiB })
  t.ok(found.kernelKills >= 1)
  t.match(
    found.summary,
    /^ended by SIGKILL; out of memory: the kernel killed 1 task at its group's/,
  )
})

t.test('the kernel, at the limit of a group above', async t => {
  const above = scratch(t, 16 * MiB)
  const job = start(await openGroup(t, below(above, 'job')))
  fill(job)
  t.match(await job.report, { oom: 'yes', origin: 'ancestor', by: 'kernel', signal: 'SIGKILL' })
})

const alone = { skip: inLab ? false : 'only in the lab: the machine runs out of memory' }

t.test('the kernel, out of memory as a whole machine', alone, async t => {
  const group = await openGroup(t, scratch(t))
  const child = spawn(hog, [], { group, oomScoreAdj: 1000, stdio: ['pipe', 'ignore', 'ignore'] })
  const report = exitReport(child)
  child.stdin.on('error', () => {})
  for (let i = 0; i < 8; i++) child.stdin.write(`fill ${512 * MiB}\n`)
  t.match(await report, { oom: 'yes', origin: 'machine', by: 'kernel', signal: 'SIGKILL' })
})

t.test('the kernel, the whole group', onV2('memory.oom.group'), async t => {
  const dir = scratch(t, 16 * MiB)
  write(dir, 'memory.oom.group', 1)
  const job = start(await openGroup(t, dir), 'sh', ['-c', `sleep 1000 & ${hog}; true`])
  fill(job)
  const { kernelKills, ...rest } = await job.report
  t.match(rest, { oom: 'yes', origin: 'self', by: 'kernel', signal: 'SIGKILL' })
  t.ok(kernelKills >= 3)
})

t.test('the kernel, a grandchild whose end the shell does not show', async t => {
  const { report } = await greedy(t, undefined, 'sh', ['-c', `${hog} || true`])
  t.match(await report, { oom: 'yes', origin: 'self', by: 'kernel', code: 0, signal: null })
})

t.test('the kernel, below its group', onV1('v2 lets no process be in the outer one'), async t => {
  const dir = scratch(t, 64 * MiB)
  const inner = below(dir, 'inner', 16 * MiB)
  const job = start(await openGroup(t, dir), 'sh', [
    ...['-c', `echo $$ > ${inner}/cgroup.procs; ${hog} || true`],
  ])
  fill(job)
  t.match(await job.report, { oom: 'yes', origin: 'unknown', by: 'kernel', code: 0 })
})

t.test('the kernel, and another program removes the group at once', async t => {
  for (const how of ['kernel', 'person'] as const) {
    const dir = below(scratch(t), how, 16 * MiB)
    const group = await MemoryGroup.open(dir)
    const job = start(group)
    await once(job.child.stdout!, 'readable')
    const remover = startPlain('sh', ['-c', 'until rmdir "$1" 2>/dev/null; do :; done', 'sh', dir])
    const gone = once(remover, 'exit')
    if (how === 'kernel') fill(job)
    else job.child.kill('SIGKILL')
    const report = await job.report
    await gone
    await group.close()
    if (how === 'kernel') t.match(report, { oom: 'yes', by: 'kernel', signal: 'SIGKILL' })
    // The kernel may have killed somewhere else on this machine meanwhile.
    else t.match(report, { oom: /^(no|unknown)$/, signal: 'SIGKILL' })
  }
})

t.test('the handler of an episode', async t => {
  const { report, episodes, child } = await greedy(t, { delayMs: LONG })
  const episode = await episodes!.next()
  await episode.kill('largest')
  const expected = { oom: 'yes', origin: 'self', by: 'guard', kernelKills: 0, episodes: 1 }
  const found = await report
  t.match(found, { ...expected, signal: 'SIGKILL', killed: [child.pid] })
  t.match(
    found.summary,
    /^ended by SIGKILL; out of memory: a guard killed 1 process at its group's limit/,
  )
})

t.test('the handler, by a signal that ends', async t => {
  const { report, episodes } = await greedy(t, { delayMs: LONG })
  const episode = await episodes!.next()
  await episode.sendSignal('SIGTERM')
  t.equal((await episode.ended).outcome, 'signalled')
  t.match(await report, { oom: 'yes', by: 'guard', signal: 'SIGTERM', killed: [], episodes: 1 })
})

t.test('the plan, and each fallback', async t => {
  const plan = [{ afterMs: 0, action: 'kill-group' }] as const
  for (const [options, by] of [
    [{ delayMs: LONG, plan }, 'guard'],
    [{ delayMs: 50, fallback: 'kill-largest' }, 'guard'],
    [{ delayMs: 50, fallback: 'kill-group' }, 'guard'],
    [{ delayMs: 50 }, 'kernel'],
  ] as [GuardOptions, string][]) {
    const { report, child } = await greedy(t, options)
    const killed = by === 'guard' ? [child.pid] : []
    t.match(await report, {
      oom: 'yes',
      origin: 'self',
      by,
      signal: 'SIGKILL',
      killed,
      episodes: 1,
    })
  }
})

t.test('the plan, a grandchild whose end the shell does not show', async t => {
  const plan = [{ afterMs: 0, action: 'kill-largest' }] as const
  const { report } = await greedy(t, { delayMs: LONG, plan }, 'sh', ['-c', `${hog} || true`])
  t.match(await report, { oom: 'yes', by: 'guard', code: 0, kernelKills: 0 })
})

t.test('an episode that is survived is no OOM that ended it', async t => {
  const { report, episodes, child } = await greedy(t, { delayMs: LONG })
  const episode = await episodes!.next()
  await episode.raiseLimit('128M')
  await episode.ended
  child.stdin!.end()
  t.match(await report, { oom: 'no', code: 0, episodes: 1, killed: [] })
})

t.test('a person, in an episode', async t => {
  const { report, episodes, child } = await greedy(t, { delayMs: LONG })
  await episodes!.next()
  child.kill('SIGKILL')
  t.match(await report, { oom: 'likely', by: 'other', signal: 'SIGKILL', episodes: 1 })
})

t.test("V8's own limit", async t => {
  const group = await openGroup(t, scratch(t, 512 * MiB))
  const grow = 'const all = []; for (;;) all.push(new Array(1e4).fill(1.5))'
  const { report } = start(group, process.execPath, ['--max-old-space-size=16', '-e', grow])
  t.match(await report, {
    ...NO,
    signal: 'SIGABRT',
    by: undefined,
    summary: /--max-old-space-size/,
  })
  const shell = start(group, 'sh', [
    '-c',
    `"$0" --max-old-space-size=16 -e "$1"; exit $?`,
    process.execPath,
    grow,
  ])
  t.match(await shell.report, { ...NO, code: 134 })
})

t.test('ENOMEM in a system call', onV1('v2 has the call wait'), async t => {
  const dir = scratch(t, 16 * MiB)
  await guarded(t, dir, { delayMs: LONG })
  const job = start(await openGroup(t, dir))
  job.child.stdin!.write(`write ${64 * MiB}\n`)
  const report = await job.report
  t.match(report, { oom: 'likely', origin: 'self', by: undefined, kernelKills: 0, killed: [] })
  t.match(report, { code: 7, signal: null, summary: /ENOMEM/ })
})

t.test('what it has started goes on', async t => {
  const group = await openGroup(t, scratch(t, 64 * MiB))
  const { child, report } = start(group, 'sh', ['-c', 'setsid sleep 1000 >/dev/null 2>&1 & exit 0'])
  t.match(await report, { ...NO, code: 0 })
  t.equal(child.exitCode, 0)
  t.equal((await group.kill()).length, 1)
})

t.test('a group that others share', async t => {
  const group = await openGroup(t, scratch(t, 16 * MiB))
  const first = start(group)
  await once(first.child.stdout!, 'readable')
  const second = start(group)
  fill(second)
  t.match(await second.report, { oom: 'likely', by: 'kernel', signal: 'SIGKILL', kernelKills: 1 })
  first.child.stdin!.end()
  t.match(await first.report, { oom: 'unknown', code: 0, kernelKills: 1 })
  t.equal((await first.report).peak, undefined, "the group's peak is not its own")
})

t.test('asked for when it has ended', async t => {
  const group = await openGroup(t, scratch(t, 16 * MiB))
  const quick = spawn('true', { group })
  await once(quick, 'exit')
  t.match(await exitReport(quick), { ...NO, code: 0 }, 'nobody has ever been killed there')
  const { child } = start(group)
  child.stdin!.write(`fill ${64 * MiB}\n`)
  await once(child, 'exit')
  t.match(await exitReport(child), { oom: 'likely', by: 'kernel', signal: 'SIGKILL' })
})

t.test('asked for late: certain only in a group that was made for it', async t => {
  const parent = await openGroup(t, scratch(t))
  const late = async (group: MemoryGroup, script: string) => {
    const child = spawn('sh', ['-c', script], { group, stdio: 'ignore' })
    // Blocks this thread until all of it has happened.
    spawnSync('sleep', ['0.5'])
    return exitReport(child)
  }
  const greedy = 'x=0123456789; while :; do x=$x$x; done'
  const made = await parent.create('made', { max: '16M' })
  t.match(await late(made, `sh -c '${greedy}' || true`), { oom: 'yes', by: 'kernel', code: 0 })
  const opened = await openGroup(t, made.path)
  t.match(await late(opened, greedy), { oom: 'likely', by: 'kernel', signal: 'SIGKILL' })
  t.match(await late(opened, 'exit 0'), { oom: 'unknown', code: 0 })
  await made.remove()
  await made.close()
})

t.test('what it starts at once is its own', async t => {
  const group = await openGroup(t, scratch(t, 16 * MiB))
  const child = spawn('sh', ['-c', `${hog} || true`], { group, stdio: ['pipe', 'pipe', 'ignore'] })
  const report = exitReport(child)
  child.stdin.on('error', () => {})
  child.stdin.write(`fill ${64 * MiB}\n`)
  t.match(await report, { oom: 'yes', by: 'kernel', code: 0 })
})

t.test('through groupOptions(), and where this process is', async t => {
  const dir = scratch(t, 16 * MiB)
  const { command, args } = groupOptions(await openGroup(t, dir))
  const child = startPlain(command, [...args, hog], { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.on('error', () => {})
  child.stdin.write(`fill ${64 * MiB}\n`)
  t.match(await exitReport(child), { oom: 'yes', origin: 'self', by: 'kernel', limit: 16 * MiB })

  const plain = exitReport(startPlain('true'))
  t.match(await plain, { oom: /^(no|unknown)$/, code: 0, killed: [], peak: undefined })
})

t.test('nothing of a report is left behind', async t => {
  const { channel } = await import('node:diagnostics_channel')
  const group = await openGroup(t, scratch(t, 64 * MiB))
  await start(group, 'true').report
  t.notOk(channel('cgroup-oom:episode:start').hasSubscribers)
  t.notOk(channel('cgroup-oom:episode:end').hasSubscribers)
  limit(group.path, 32 * MiB)
  await group.remove()
})

t.test('a report that is asked for late does not know whose limit it was', async t => {
  const group = await MemoryGroup.create(`${scratch(t)}/late`, { max: '16M' })
  t.teardown(() => group.close())
  const child = spawn(hog, [], { group, stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.on('error', () => {})
  child.stdin.write(`fill ${64 * MiB}\n`)
  await once(child, 'exit')
  const report = await exitReport(child)
  t.match(report, { oom: 'yes', by: 'kernel', origin: 'unknown', kernelKills: 1 })
  t.notMatch(report.summary, /machine/)
  await group.remove({ kill: true })
})
