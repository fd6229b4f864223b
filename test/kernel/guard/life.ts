// The group is released in whatever way the process (or the worker) that guards comes to its end, as far as
// it still runs code of its own: in all other cases the guardian does it.
// lab: left out: many Node.js processes, each of which takes seconds to start there
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { Hog } from '../../helpers/hog.js'
import { bareProgram, helperProgram } from '../../helpers/program.js'
import { isHeld, MiB } from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'

const program = helperProgram('life-program')

async function run(t: Test, ...args: string[]): Promise<{ code: number | null; out: string }> {
  const child = spawn('env', [...(await bareProgram('life-program')), ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let out = ''
  child.stdout.setEncoding('utf8').on('data', data => (out += data))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  t.equal(signal, null)
  return { code, out }
}

for (const [how, code] of [
  ['end', 0],
  ['exit', 0],
  ['throw', 1],
  ['reject', 1],
  ['worker-end', 0],
  ['worker-exit', 0],
  ['worker-throw', 0],
  ['worker-terminate', 0],
  ['worker-main-exit', 0],
] as const) {
  const episodes = ['exit', 'throw', 'worker-terminate'].includes(how)
  for (const more of episodes ? ['', 'episode'] : ['']) {
    t.test(`${how} ${more}`, async t => {
      const dir = scratch(t, 16 * MiB)
      const result = await run(t, dir, how, more)
      t.equal(result.code, code)
      t.match(result.out, /^armed/)
      t.notOk(isHeld(dir))
    })
  }
}

t.test('process.exit() while arming', async t => {
  for (const ms of [0, 2]) {
    const dir = scratch(t, 16 * MiB)
    await run(t, dir, 'exit-arming', String(ms))
    t.notOk(isHeld(dir))
  }
})

t.test('iterating keeps the process alive, and nothing else', async t => {
  const dir = scratch(t, 16 * MiB)
  const { out } = await run(t, dir, 'iterating')
  t.equal(out, 'armed\nleft\n')
})

t.test('a worker that ends leaves the guards of the others', async t => {
  const { guarded } = await import('../../helpers/guard.js')
  const { Worker } = await import('node:worker_threads')
  const mine = scratch(t, 16 * MiB)
  const theirs = scratch(t, 16 * MiB)
  const g = await guarded(t, mine, { delayMs: 60_000 })
  const worker = new Worker(program, { workerData: [theirs, 'worker-stay'] })
  await once(worker, 'message')
  t.ok(isHeld(theirs))
  await worker.terminate()
  t.notOk(isHeld(theirs))
  t.ok(isHeld(mine))
  const hog = await Hog.start(mine)
  t.teardown(() => hog.end())
  const filled = hog.fill(24 * MiB)
  await (await g.next()).raiseLimit('64M')
  await filled
})

t.test('the deadline is kept while the event loop is blocked, and never early', async t => {
  const { guarded } = await import('../../helpers/guard.js')
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: 300 })
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  hog.fill(24 * MiB).catch(() => {})
  const { readFileSync } = await import('node:fs')
  const dead = () => {
    try {
      return !/^State:\s+[RSD]/m.test(readFileSync(`/proc/${hog.pid}/status`, 'utf8'))
    } catch {
      return true
    }
  }
  // Not one turn of the loop until it is over.
  while (!dead());
  const at = process.hrtime.bigint()
  const episode = await g.next()
  const end = await episode.ended
  t.match(end, { outcome: 'fallback', kernelKills: 1 })
  t.ok(end.steps[0]!.at >= episode.deadline)
  t.ok(end.steps[0]!.at < at)
  t.equal(g.guard.stats.worstLateNs, end.lateNs)
  t.ok(g.guard.stats.totalOomNs >= 300_000_000)
})

t.test('diagnostics channels, and episodes from before the first iteration', async t => {
  const { subscribe } = await import('node:diagnostics_channel')
  const { openGroup } = await import('../../helpers/group.js')
  const seen: unknown[] = []
  subscribe('cgroup-oom:episode:start', message => seen.push(message))
  subscribe('cgroup-oom:episode:end', message => seen.push(message))
  const dir = scratch(t, 16 * MiB)
  const group = await openGroup(t, dir)
  const guard = await group.guard({ delayMs: 60_000, guardian: false })
  t.teardown(() => guard.dispose())
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const filled = hog.fill(40 * MiB)
  await until(() => seen.length === 1)
  const first = guard[Symbol.asyncIterator]()
  const second = guard[Symbol.asyncIterator]()
  const { value: episode } = await first.next()
  t.equal(seen[0], episode)
  await episode!.raiseLimit('24M')
  const end = await episode!.ended
  t.same(seen[1], { episode, end })
  // Each iterator sees what begins from now on.
  const [a, b] = await Promise.all([first.next(), second.next()])
  t.equal(a.value, b.value)
  t.equal(a.value!.id, 2)
  await first.return!()
  t.same(await first.next(), { value: undefined, done: true })
  await a.value!.raiseLimit('64M')
  await filled
})

t.test('NODE_DEBUG=cgroup-oom', async t => {
  const dir = scratch(t, 16 * MiB)
  const started = await bareProgram('life-program', { NODE_DEBUG: 'cgroup-oom' })
  const child = spawn('env', [...started, dir, 'exit', 'episode'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let err = ''
  child.stderr.setEncoding('utf8').on('data', data => (err += data))
  await once(child, 'close')
  t.match(err, /CGROUP-OOM \d+: guarding .*1 groups, 60000 ms/)
  t.match(err, /CGROUP-OOM \d+: episode 1 of /)
})
