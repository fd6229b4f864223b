// Jobs in parallel within a budget of memory: real processes in a group with a limit.
import type { ChildProcess } from 'node:child_process'
import { readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { BudgetJobOptions } from '../../../types/index.js'
import { MemoryBudget } from '../../../lib/index.js'
import { MiB, version } from '../../helpers/memory-files.js'
import { openGroup } from '../../helpers/group.js'
import { scratch, until } from '../../helpers/scratch.js'
import { CLEAN, script } from '../../helpers/script.js'
import { openFds } from '../../helpers/watching.js'

const groupsBelow = (dir: string): string[] =>
  readdirSync(dir, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(({ name }) => name)

/** Takes memory, and waits until the file `go` is there, or does not wait. */
const takes = (mib: number, ms = 0) => [
  '-e',
  `const held = Buffer.alloc(${mib} << 20, 1); setTimeout(() => process.exit(held[0] - 1), ${ms})`,
]

interface Seen {
  atOnce: number
  most: number
  starts: string[]
}

/** Counts the jobs that run at the same time. */
function counting(): Seen & {
  options: (name: string, more?: BudgetJobOptions) => BudgetJobOptions
} {
  const seen: Seen = { atOnce: 0, most: 0, starts: [] }
  return Object.assign(seen, {
    options: (name: string, more: BudgetJobOptions = {}): BudgetJobOptions => ({
      name,
      stdio: 'ignore',
      ...more,
      onStart(child) {
        seen.starts.push(name)
        seen.most = Math.max(seen.most, ++seen.atOnce)
        child.once('exit', () => seen.atOnce--)
      },
    }),
  })
}

async function budgetOf(t: Test, mib: number, most = 8): Promise<MemoryBudget> {
  const group = await openGroup(t, scratch(t, mib * MiB))
  const budget = new MemoryBudget({ group, most, delayMs: 20_000 })
  t.teardown(() => budget.close())
  return budget
}

t.test('jobs start while what they are expected to use fits, in their order', async t => {
  const budget = await budgetOf(t, 256)
  const seen = counting()
  const jobs = ['a', 'b', 'c', 'd'].map(name =>
    budget.run(process.execPath, takes(16, 50), seen.options(name, { expect: '100M' })),
  )
  for (const report of await Promise.all(jobs)) {
    t.match(report, { oom: 'no', code: 0, attempts: 1 })
  }
  t.equal(seen.most, 2)
  t.strictSame(seen.starts, ['a', 'b', 'c', 'd'])
  t.ok(budget.expected('a')! > 16 * MiB)
  t.ok(budget.expected('a')! < 256 * MiB)
  t.strictSame(groupsBelow(budget.group.path), [], 'no group is left')
  t.strictSame(budget.jobs, { running: 0, waiting: 0 })
})

t.test('where the memory runs out, the newest yields, and is run again alone', async t => {
  const budget = await budgetOf(t, 256)
  const seen = counting()
  const ends: Record<string, unknown[]> = { a: [], b: [], c: [] }
  const jobs = ['a', 'b', 'c'].map(name => {
    const options = seen.options(name, { expect: '1M' })
    const onStart = (child: ChildProcess, attempt: number) => {
      options.onStart?.(child, attempt)
      child.once('exit', (code, signal) => ends[name]!.push(signal ?? code))
    }
    return budget.run(process.execPath, takes(100, 500), { ...options, onStart })
  })
  const reports = await Promise.all(jobs)
  t.strictSame(
    reports.map(({ code }) => code),
    [0, 0, 0],
    'all have done their work in the end',
  )
  t.ok(
    reports.some(({ attempts }) => attempts === 2),
    'one has yielded',
  )
  // v1: one of its system calls may have failed for want of memory.
  t.notOk(ends.a!.includes('SIGKILL'), `not the oldest: ${JSON.stringify(ends)}`)
})

// V8 ends by SIGABRT where it gets no memory. A person's SIGTERM, when it is over, is no failure.
for (const [how, first, isFailure] of [
  ['exits with 1', { code: 1 }, true],
  ['kill -ABRT $$', { signal: 'SIGABRT' }, true],
  ['sleep 1; kill -TERM $$', { signal: 'SIGTERM' }, false],
] as const) {
  const name = `while the memory has run out, another job ends: ${how}`
  t.test(name, async t => {
    const budget = await budgetOf(t, 128)
    const dir = t.testdir({})
    const end = how.includes('kill') ? how : 'exit 1'
    const once = `ulimit -c 0; [ -e ${dir}/second ] && exit 0; touch ${dir}/second; until [ -e ${dir}/go ]; do sleep 0.05; done; ${end}`
    const other = budget.run('sh', ['-c', once], { stdio: 'ignore', expect: '1M' })
    const large = budget.run(process.execPath, takes(200), {
      ...{ stdio: 'ignore', expect: '1M' },
      onStart: (child, attempt) => {
        if (attempt === 1) child.once('exit', () => writeFileSync(`${dir}/go`, ''))
      },
    })
    // On v2 no call fails for want of memory: it is how the job ends.
    const runAgain = isFailure && version === 1
    const report = await other
    t.match(
      report,
      runAgain ? { code: 0, attempts: 2 } : { ...first, attempts: 1 },
      JSON.stringify(report),
    )
    t.match(await large, { oom: 'yes', attempts: 2 })
  })
}

t.test('a job that does not fit alone fails, after its second attempt', async t => {
  const budget = await budgetOf(t, 96)
  const report = await budget.run(process.execPath, takes(200), { stdio: 'ignore' })
  t.match(report, { oom: 'yes', signal: 'SIGKILL', attempts: 2 })
  const next = await budget.run(process.execPath, takes(1), { stdio: 'ignore' })
  t.match(next, { oom: 'no', code: 0, attempts: 1 }, 'the budget goes on')
})

t.test('a job leaves no descriptor, also where another program has removed its group', async t => {
  const budget = await budgetOf(t, 128, 1)
  const job = () => budget.run('true', [], { stdio: 'ignore' })
  await job()
  const before = openFds()
  for (let i = 0; i < 20; i++) t.equal((await job()).code, 0)
  // The last one's pipes close when the loop comes to it; a descriptor of each would stay.
  await until(() => openFds() <= before + 2)
  const removed = budget.run(
    'sh',
    ['-c', `echo $$ > ${budget.group.path}/cgroup.procs; sleep 0.5`],
    {
      stdio: 'ignore',
      onStart: child =>
        child.once('spawn', () => {
          const [name] = groupsBelow(budget.group.path)
          void until(() => {
            try {
              rmdirSync(`${budget.group.path}/${name}`)
              return true
            } catch {
              return false
            }
          })
        }),
    },
  )
  t.equal((await removed).code, 0)
})

t.test('peaks are learned by name', async t => {
  const budget = await budgetOf(t, 256)
  const job = (name: string, seen = counting()) =>
    budget.run(process.execPath, takes(120, 100), seen.options(name))
  await job('x')
  t.ok(budget.expected('x')! > 120 * MiB)
  const seen = counting()
  await Promise.all([job('x', seen), job('x', seen)])
  t.equal(seen.most, 1, 'two would not fit')
})

t.test(
  'a signal ends a job that waits, and one that runs with all that it has started',
  async t => {
    const budget = await budgetOf(t, 128, 1)
    const controller = new AbortController()
    const { signal } = controller
    const child = `require('child_process').spawn('sleep', ['1000'])`
    const running = budget.run(process.execPath, ['-e', child], { stdio: 'ignore', signal })
    const waiting = budget.run('true', [], { stdio: 'ignore', signal })
    const aborted = [running, waiting].map(each => t.rejects(each, { name: 'AbortError' }))
    await until(() => groupsBelow(budget.group.path).length === 1)
    controller.abort()
    await Promise.all(aborted)
    await until(() => groupsBelow(budget.group.path).length === 0)
    t.match(await budget.run('true'), { code: 0 })
  },
)

t.test('close() ends all', async t => {
  const budget = await budgetOf(t, 128, 1)
  const seen = counting()
  const running = budget.run('sleep', ['1000'], seen.options('running'))
  const waiting = budget.run('true')
  const refused = t.rejects(waiting, { code: 'ERR_CLOSED' })
  await until(() => seen.starts.length === 1)
  await budget.close()
  t.match(await running, { signal: 'SIGKILL', attempts: 1 })
  await refused
  await t.rejects(budget.run('true'), { code: 'ERR_CLOSED' })
  await until(() => groupsBelow(budget.group.path).length === 0)
})

t.test('close() while a job is being started', async t => {
  const budget = await budgetOf(t, 128, 1)
  const starting = t.rejects(budget.run('sleep', ['1000']), { code: 'ERR_CLOSED' })
  // Each turn of the loop: its group is made by another thread, and not yet.
  while (budget.jobs.running === 0) await new Promise(setImmediate)
  await budget.close()
  await starting
  await until(() => groupsBelow(budget.group.path).length === 0)
})

t.test('what cannot be run is told, and nothing is left', async t => {
  const budget = await budgetOf(t, 64)
  await t.rejects(budget.run('no-such-command-1'), { code: 'ENOENT' })
  t.strictSame(groupsBelow(budget.group.path), [])
  const unlimited = new MemoryBudget({ group: await openGroup(t, scratch(t)) })
  t.teardown(() => unlimited.close())
  await t.rejects(unlimited.run('true'), { code: 'ERR_NO_LIMIT' })
  const given = new MemoryBudget({ group: unlimited.group, limit: '64M' })
  t.teardown(() => given.close())
  t.match(await given.run('true'), { code: 0 })
})

t.test('wrong arguments are refused before anything is touched', async t => {
  const { group } = await budgetOf(t, 64)
  const type = { code: 'ERR_INVALID_ARG_TYPE' }
  const range = { code: 'ERR_OUT_OF_RANGE' }
  const of = (options: object) => () => new MemoryBudget({ group, ...options })
  t.throws(of({ group: {} }), type)
  t.throws(of({ most: 0 }), range)
  t.throws(of({ delayMs: 0 }), range)
  t.throws(of({ limit: -1 }), range)
  const budget = new MemoryBudget({ group })
  const run = (command: unknown, args?: unknown, options?: object) =>
    budget.run(command as string, args as string[], options)
  await t.rejects(run(1), type)
  await t.rejects(run('true', 'x'), type)
  await t.rejects(run('true', [], { expect: {} }), type)
  await t.rejects(run('true', [], { name: 1 }), type)
  await t.rejects(run('true', [], { onStart: 1 }), type)
  await t.rejects(run('true', [], { signal: 1 }), type)
  await budget.close()
})

t.test('a budget that is not closed does not keep the process alive', async t => {
  const dir = scratch(t, 64 * MiB)
  const result = await script(
    `const group = await oom.MemoryGroup.open(${JSON.stringify(dir)})
    const { code } = await new oom.MemoryBudget({ group }).run('true', [])
    console.log(code)`,
  )
  t.match(result, { ...CLEAN, stdout: '0\n' })
})
