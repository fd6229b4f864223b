// Who is killed, and who never is.
import '../helpers/v1-only.js'
import { writeFileSync } from 'node:fs'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { spawn } from '../../lib/index.js'
import { guarded } from '../helpers/guard.js'
import { openGroup } from '../helpers/group.js'
import { Hog } from '../helpers/hog.js'
import { helperProgram } from '../helpers/program.js'
import { child, MiB, read, scratch, until, write } from '../helpers/scratch.js'
import { twin } from '../helpers/twin.js'

async function hogIn(t: Test, dir: string): Promise<Hog> {
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  return hog
}

/** Whether this process may lower a score: CAP_SYS_RESOURCE. */
async function mayLower(): Promise<boolean> {
  const hog = await Hog.start()
  try {
    writeFileSync(`/proc/${hog.pid}/oom_score_adj`, '-1000')
    return true
  } catch {
    return false
  } finally {
    await hog.end()
  }
}
const skip = (await mayLower()) ? false : 'lowering oom_score_adj needs CAP_SYS_RESOURCE'

t.test('oom_score_adj -1000 is spared, unless named', { skip }, async t => {
  const dir = scratch(t, 24 * MiB)
  const g = await guarded(t, dir, { delayMs: 60_000, fallback: 'kill-largest' })
  const big = await hogIn(t, dir)
  await big.fill(14 * MiB)
  writeFileSync(`/proc/${big.pid}/oom_score_adj`, '-1000')
  const hog = await hogIn(t, dir)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await g.next()
  t.same(await episode.kill('largest'), [hog.pid], 'not the largest')
  await episode.ended
  const next = await hogIn(t, dir)
  next.fill(24 * MiB).catch(() => {})
  const second = await g.next()
  t.same(await second.kill('all'), [next.pid])
  await second.ended
  const third = await hogIn(t, dir)
  third.fill(24 * MiB).catch(() => {})
  const last = await g.next()
  t.same(await last.kill(big.pid), [big.pid])
  await last.kill('all').catch(() => {})
})

t.test('when nobody may be killed, the kernel decides', { skip }, async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: 100, fallback: 'kill-group' })
  const hog = await hogIn(t, dir)
  writeFileSync(`/proc/${hog.pid}/oom_score_adj`, '-1000')
  const filled = t.rejects(hog.fill(24 * MiB))
  const episode = await g.next()
  while (!episode.signal.aborted && (await report(episode)) < 2) {
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  // The kernel spares it too: let it go on.
  writeFileSync(`/proc/${hog.pid}/oom_score_adj`, '0')
  await filled
  t.match(await episode.ended, {
    outcome: 'fallback',
    steps: [{ action: 'kill-group', code: 'ESRCH' }, { action: 'kernel' }],
  })
  async function report(_: unknown): Promise<number> {
    return read(dir, 'memory.oom_control').includes('oom_kill_disable 0') ? 2 : 0
  }
})

t.test('never this process, nor its parents', async t => {
  // Three generations in the group: the guard's process is the child of a member.
  const dir = scratch(t)
  const program = helperProgram('inside-program')
  const parent = spawn(process.execPath, [...process.execArgv, program, dir, 'parent'], {
    group: await openGroup(t, dir),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => parent.kill('SIGKILL'))
  let out = ''
  parent.stdout.setEncoding('utf8').on('data', data => (out += data))
  t.same(await once(parent, 'exit'), [0, null], out)
  const { pids, hogs, outcome } = JSON.parse(out) as Record<string, unknown>
  t.same(pids, hogs)
  t.equal(outcome, 'killed')
})

t.test('500 members, and forks meanwhile: all of them', async t => {
  // Room for all of them: the one that fills the group is to be the first that finds it full.
  const limit = 512 * MiB
  const dir = scratch(t, limit)
  const below = child(dir, 'below')
  const g = await guarded(t, dir, { delayMs: 60_000 })
  const hogs = await Promise.all([dir, dir, below].map(where => hogIn(t, where)))
  for (let i = 0; i < 500; i++) await hogs[i % 3]!.fork()
  // Nearly full before the bomb takes the processors.
  const hog = await hogIn(t, dir)
  await hog.fill(limit - Number(read(dir, 'memory.usage_in_bytes')) - 64 * MiB)
  const bomb = await hogIn(t, below)
  const pidsGroup = twin(t, 'pids', below)
  write(pidsGroup, 'pids.max', 50)
  write(pidsGroup, 'cgroup.procs', bomb.pid)
  await bomb.bomb()
  hog.fill(128 * MiB).catch(() => {})
  const episode = await g.next()
  const pids = await episode.kill('all')
  // Children of a hog that is killed first die with it.
  t.ok(pids.length > 5, String(pids.length))
  t.equal(new Set(pids).size, pids.length)
  t.equal((await episode.ended).outcome, 'killed')
  // None has got away: those that were killed need the processor to die.
  await until(() => read(dir, 'cgroup.procs') + read(below, 'cgroup.procs') === '')
})

t.test('the fallback takes those who have come since the last look', async t => {
  // The kernel remembers what an open cgroup.procs has said for a second: new members, and forks
  // after the first kill, must be seen all the same.
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: 300, fallback: 'kill-group' })
  for (let round = 0; round < 3; round++) {
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    const episode = await g.next()
    const late = await hogIn(t, scratch(t))
    write(dir, 'cgroup.procs', late.pid)
    const end = await episode.ended
    t.equal(end.outcome, 'fallback')
    t.same(new Set(end.killed), new Set([hog.pid, late.pid]))
  }
})
