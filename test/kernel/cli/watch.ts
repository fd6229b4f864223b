// cgroup-oom watch: lines of real events, and how it ends.
// lab: left out: many Node.js processes, each of which takes seconds to start there
import t, { type Test } from 'tap'
import { once } from 'node:events'
import { rmdirSync } from 'node:fs'
import { RunningCli } from '../../helpers/cli.js'
import { Hog } from '../../helpers/hog.js'
import { MiB } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

async function watching(t: Test, args: string[]): Promise<RunningCli> {
  const running = new RunningCli(['watch', ...args])
  t.teardown(() => running.child.kill('SIGKILL'))
  await until(() => running.stderr.startsWith('watching ') || running.child.exitCode !== null)
  return running
}

/** One process of the group is killed by the kernel. */
async function oom(dir: string): Promise<void> {
  const hog = await Hog.start(dir)
  await hog.fill(32 * MiB).catch(() => {})
  await hog.exited
}

const linesOf = (text: string): string[] => text.split('\n').filter(Boolean)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`five fields a line, until ${signal}`, async t => {
    const dir = scratch(t, 16 * MiB)
    const before = Date.now()
    const running = await watching(t, [dir])
    t.equal(running.stderr, 'watching 1 group\n')
    await oom(dir)
    await until(() => linesOf(running.stdout).length >= 2)
    running.child.kill(signal)
    t.match(await running.done, { status: 0, signal: null })
    const fields = linesOf(running.stdout).map(line => line.split(' '))
    t.same(fields.map(([, ...rest]) => rest).sort(), [
      ['kill', dir, '1', '-'],
      ['oom', dir, '1', 'self'],
    ])
    for (const [time] of fields) {
      t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      t.ok(Date.parse(time!) >= before && Date.parse(time!) <= Date.now() + 1)
    }
  })
}

t.test('--tree and --json; ends when all groups are gone', async t => {
  const dir = scratch(t)
  const root = child(dir, 'root')
  const other = child(dir, 'other')
  const running = await watching(t, ['--tree', '--json', root, other])
  t.equal(running.stderr, 'watching 2 trees\n')
  const below = child(root, 'below', 16 * MiB)
  await oom(below)
  // The kernel's counters go with the group.
  await until(() => running.stdout.includes('"kill"'))
  for (const path of [below, root, other]) rmdirSync(path)
  t.match(await running.done, { status: 0 })
  const events = linesOf(running.stdout).map(line => JSON.parse(line) as Record<string, unknown>)
  const of = (group: string) => events.filter(event => event.group === group)
  t.same(
    of(below)
      .map(({ type }) => type)
      .sort(),
    ['kill', 'oom', 'removed'],
  )
  t.match(
    of(below).find(({ type }) => type === 'oom'),
    {
      time: /Z$/,
      at: /^\d+$/,
      count: 1,
      origin: 'self',
      counters: { oomKill: Number },
    },
  )
  t.match(of(root), [{ type: 'removed' }])
  t.match(of(other), [{ type: 'removed' }])
})

t.test('a reader that closes the pipe ends it', async t => {
  const dir = scratch(t, 16 * MiB)
  const running = await watching(t, [dir])
  running.child.stdout!.destroy()
  await once(running.child.stdout!, 'close')
  await oom(dir)
  t.match(await running.done, { status: 0, signal: null, stderr: 'watching 1 group\n' })
})

t.test('a group that cannot be watched: status 1, and nothing goes on', async t => {
  const dir = scratch(t)
  const running = await watching(t, [dir, `${dir}/gone`])
  t.match(await running.done, { status: 1, stdout: '', stderr: /^cgroup-oom watch: ENOENT.*gone/ })
})
