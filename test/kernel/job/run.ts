// run() and fork(): one call for a job, and what is left of it.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, utimesSync } from 'node:fs'
import { dirname } from 'node:path'
import t, { type Test } from 'tap'
import { exitReport, fork, run, type MemoryGroup, type RunOptions } from '../../../lib/index.js'
import { openGroup } from '../../helpers/group.js'
import { hogIn } from '../../helpers/hog.js'
import { hasMemsw, memswOf, MiB, read, version } from '../../helpers/memory-files.js'
import { child as below, scratch, until } from '../../helpers/scratch.js'

/** As /proc/PID/cgroup shows it. */
const endOf = (dir: string): string => dir.split('/').slice(-2).join('/')

const groups = (dir: string): string[] =>
  readdirSync(dir, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)

/** A place for jobs, in which nothing must be left. */
async function place(
  t: Test,
): Promise<{ dir: string; options: RunOptions & { parent: MemoryGroup } }> {
  const dir = below(scratch(t), 'jobs')
  const parent = await openGroup(t, dir)
  return { dir, options: { parent } }
}

const sh = (script: string): [string, string[]] => ['sh', ['-c', script]]
// Doubles a string, in the command's own memory.
const GREEDY = 'x=0123456789; while :; do x=$x$x; done'

t.test('a job: its end, its output, its group', async t => {
  const { dir, options } = await place(t)
  const report = await run(...sh('cat /proc/self/cgroup; echo words >&2; exit 3'), {
    ...options,
    max: '64M',
  })
  t.match(report, {
    oom: 'no',
    code: 3,
    signal: null,
    timedOut: false,
    limit: 64 * MiB,
    ownGroup: true,
  })
  t.match(report.stdout, /cgroup-oom-job-\d+-\d+/)
  t.equal(report.stderr, 'words\n')
  t.ok(report.durationMs > 0)
  t.strictSame(
    report.timeline.map(({ event }) => event),
    ['started', 'ended'],
  )
  t.strictSame(groups(dir), [])
})

t.test('without arguments, as spawn() is called', async t => {
  const { options } = await place(t)
  const max = { ...options, max: '64M' }
  const report = await run('cat /proc/self/cgroup', { ...max, shell: true })
  t.match(report, { ownGroup: true, limit: 64 * MiB, stdout: /cgroup-oom-job-/ })
  t.match(await run('cat', max), { code: 0, stdout: '' })
  for (const args of ['x', 5, [5]]) {
    await t.rejects(run('cat', args as never, max), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  await t.rejects(run('', [], max), { code: 'ERR_INVALID_ARG_VALUE' })
})

t.test('groups that a killed supervisor has left', async t => {
  const { dir, options } = await place(t)
  const dead = spawnSync('true').pid
  const old = (name: string) => {
    const path = below(dir, name)
    utimesSync(path, 1, 1)
    return path
  }
  const gone = ['job-', 'run-', 'budget-'].map(kind => old(`cgroup-oom-${kind}${dead}`))
  const stays = [
    below(dir, `cgroup-oom-job-${dead}-1`), // perhaps of another PID namespace, and in use in a moment
    old(`cgroup-oom-job-${process.ppid}-0`), // its maker lives
    old(`another-${dead}`),
    dirname(below(old(`cgroup-oom-job-${dead}-2`), 'below')),
  ]
  const busy = old(`cgroup-oom-job-${dead}-3`)
  const hog = await hogIn(t, busy)
  const job = () => run(...sh('cat /proc/self/cgroup'), options)
  const number = async () => Number(/cgroup-oom-job-\d+-(\d+)/.exec((await job()).stdout!)![1])
  const first = await number()
  t.strictSame(gone.filter(existsSync), [])
  t.strictSame(
    [...stays, busy].filter(path => !existsSync(path)),
    [],
  )
  t.ok(read(busy, 'cgroup.procs').includes(String(hog.pid)))
  // One that had this process's number.
  below(dir, `cgroup-oom-job-${process.pid}-${first + 1}`)
  t.equal(await number(), first + 2)
  await hog.end()
})

t.test('capture: the last bytes, whole characters, or none', async t => {
  const { options } = await place(t)
  const output = async (script: string, capture: RunOptions['capture']) =>
    (await run(...sh(script), { ...options, capture: capture! })).stdout
  t.equal(await output('echo 0123456789', 5), '6789\n')
  t.equal(await output('printf 0ää', 3), 'ä')
  t.equal((await output('head -c 3000000 /dev/zero', '1M'))!.length, MiB)
  t.equal(await output('exit 0', false), undefined)
})

t.test('out of memory: the kernel, a policy', async t => {
  const { dir, options } = await place(t)
  const max = { ...options, max: '16M', swap: false }
  const kernel = await run(...sh(GREEDY), max)
  t.match(kernel, { oom: 'yes', by: 'kernel', origin: 'self', signal: 'SIGKILL', episodes: 0 })
  const events = kernel.timeline.map(({ event }) => event)
  t.ok(events.includes('out-of-memory') && events.at(-1) === 'ended', events.join())
  const policy = await run(...sh(GREEDY), { ...max, policy: [{ raise: '16M' }, 'kill-group'] })
  t.match(policy, { oom: 'yes', by: 'guard', signal: 'SIGKILL', kernelKills: 0, episodes: 2 })
  t.match(
    policy.timeline.filter(({ event }) => event.startsWith('episode')),
    [
      { event: 'episode' },
      { event: 'episode-end', text: /limit-raised$/ },
      { event: 'episode' },
      { event: 'episode-end', text: /plan$/ },
    ],
  )
  t.strictSame(groups(dir), [])
})

t.test('what the job has left is ended, and does not keep its output open', async t => {
  const { dir, options } = await place(t)
  const began = performance.now()
  const { stdout } = await run(...sh('setsid sleep 1000 & echo $!'), options)
  t.ok(performance.now() - began < 30_000)
  const pid = Number(stdout)
  t.ok(
    !existsSync(`/proc/${pid}`) ||
      /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
  )
  t.strictSame(groups(dir), [])
})

t.test('timeoutMs and signal end all of it', async t => {
  const { dir, options } = await place(t)
  const deaf = `setsid sh -c 'trap "" TERM; while :; do sleep 1; done' & echo $!; while :; do sleep 0.1; done`
  const late = await run(...sh(deaf), { ...options, timeoutMs: 300 })
  t.match(late, {
    oom: 'no',
    signal: 'SIGTERM',
    by: 'other',
    timedOut: true,
    summary: /^timed out after \d+ ms: ended by SIGTERM; /,
  })
  t.ok(late.timeline.some(({ event }) => event === 'timeout'))
  t.strictSame(groups(dir), [])
  const abort = new AbortController()
  const aborted = run(...sh(deaf), { ...options, signal: abort.signal })
  await until(() => groups(dir).length === 1)
  abort.abort(new Error('why'))
  await t.rejects(aborted, { name: 'AbortError', cause: { message: 'why' } })
  await t.rejects(run('true', [], { signal: abort.signal }), { name: 'AbortError' })
  t.strictSame(groups(dir), [])
})

t.test('what cannot be run, and what is refused', async t => {
  const { dir, options } = await place(t)
  await t.rejects(run('/no/such/command', [], options), { code: 'ENOENT' })
  await t.rejects(run('true', [], { ...options, max: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(run('true', [], { ...options, timeoutMs: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(run('true', [], { ...options, policy: ['kill'] as never }), {
    code: 'ERR_INVALID_ARG_VALUE',
  })
  await t.rejects(run('true', [], { parent: {} as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(run('', [], options), { code: 'ERR_INVALID_ARG_VALUE' })
  t.strictSame(groups(dir), [])
})

t.test('many at a time', async t => {
  const { dir, options } = await place(t)
  const jobs = Array.from({ length: 8 }, (_, i) =>
    run(...sh(i % 2 === 0 ? `exit ${i}` : GREEDY), { ...options, max: '16M', swap: false }),
  )
  const reports = await Promise.all(jobs)
  t.strictSame(
    reports.map(({ oom, code }) => [oom, code]),
    Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? ['no', i] : ['yes', null])),
  )
  t.strictSame(groups(dir), [])
})

t.test('a new group without swap', async t => {
  const parent = await openGroup(t, scratch(t))
  const group = await parent.create('job', { max: '16M', swap: false })
  if (version === 2) t.equal(read(group.path, 'memory.swap.max'), '0\n')
  else if (hasMemsw(group.path)) t.equal(memswOf(group.path), 16 * MiB)
  await group.remove()
  await group.close()
  await t.rejects(parent.create('job', { swap: false, swapMax: 0 }), {
    code: 'ERR_INVALID_ARG_VALUE',
  })
  await t.rejects(parent.create('job', { swap: 0 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('fork(): in the group, with its channel', async t => {
  const group = await openGroup(t, scratch(t))
  const module = t.testdir({
    'module.cjs': `
      const { readFileSync } = require('fs')
      process.once('message', message => {
        const cgroup = readFileSync('/proc/self/cgroup', 'utf8')
        const args = process.argv.slice(2)
        process.send({ message, cgroup, args }, () => process.exit())
      })`,
  })
  const child = fork(`${module}/module.cjs`, ['a b'], { group, execArgv: [] })
  const report = exitReport(child)
  child.send('hello')
  const [answer] = (await once(child, 'message')) as [{ cgroup: string }]
  t.match(answer, { message: 'hello', args: ['a b'] })
  t.match(answer.cgroup, endOf(group.path))
  t.match(await report, { oom: 'no', code: 0, kernelKills: 0 })
  const plain = fork(`${module}/module.cjs`, undefined, { execArgv: [] })
  plain.send('hello')
  t.notMatch(((await once(plain, 'message')) as [{ cgroup: string }])[0].cgroup, endOf(group.path))
  t.throws(() => fork('x', [], { group: {} as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => fork('x', [], { group, uid: 1 }), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test(
  'fork() from a program that was given with -e runs the module, not that program',
  async t => {
    const group = await openGroup(t, scratch(t))
    const module = t.testdir({ 'module.cjs': `process.send('module', () => process.exit(5))` })
    const code = 'process.exit(9)'
    Object.assign(process, { _eval: code })
    process.execArgv.push('-e', code)
    const child = fork(`${module}/module.cjs`, [], { group })
    process.execArgv.splice(-2)
    Object.assign(process, { _eval: undefined })
    t.strictSame(await once(child, 'exit'), [5, null])
  },
)
