// Which processes are killed, and which never are.
import { writeFileSync } from 'node:fs'
import { once } from 'node:events'
import t from 'tap'
import { spawn, type OomEpisode } from '../../../lib/index.js'
import { allGone, stop } from '../../helpers/faults.js'
import { guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { Hog, hogIn } from '../../helpers/hog.js'
import { helperProgram } from '../../helpers/program.js'
import { Remote } from '../../helpers/remote.js'
import { isHeld, MiB, read, underOom, usageOf, write } from '../../helpers/memory-files.js'
import { plainChild, scratch, until } from '../../helpers/scratch.js'
import { boundForks } from '../../helpers/twin.js'

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

t.test('if no member may be killed, the kernel decides', { skip }, async t => {
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: 100, fallback: 'kill-group' })
  const hog = await hogIn(t, dir)
  writeFileSync(`/proc/${hog.pid}/oom_score_adj`, '-1000')
  const filled = t.rejects(hog.fill(24 * MiB))
  const episode = await g.next()
  await until(() => episode.signal.aborted || !isHeld(dir))
  // The kernel spares it too: allow the kill now.
  writeFileSync(`/proc/${hog.pid}/oom_score_adj`, '0')
  await filled
  t.match(await episode.ended, {
    outcome: 'fallback',
    steps: [{ action: 'kill-group', code: 'ESRCH' }, { action: 'kernel' }],
  })
})

t.test('this process and its parents are never killed', async t => {
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

t.test('members of groups below that have no controller (v2)', async t => {
  const dir = scratch(t, 16 * MiB)
  const below = plainChild(dir, 'below')
  const g = await guarded(t, dir, { delayMs: 60_000 })
  const small = await hogIn(t, dir)
  const hog = await hogIn(t, below)
  hog.fill(24 * MiB).catch(() => {})
  const episode = await g.next()
  t.same(await episode.kill('largest'), [hog.pid])
  t.same(await hog.exited, [null, 'SIGKILL'])
  await episode.ended
  t.equal(small.child.signalCode, null)
})

for (const descendants of ['guard', 'kernel'] as const) {
  t.test(`the guardian takes those in groups below, too (descendants: ${descendants})`, async t => {
    const dir = scratch(t, 16 * MiB, 300)
    const remote = await Remote.start(t)
    // It can act only once the supervisor is dead, however late that is.
    const guardian = { graceMs: 60_000 }
    await remote.guard(dir, { delayMs: 300, fallback: 'kill-group', descendants, guardian })
    const below = await hogIn(t, plainChild(dir, 'below'))
    const hog = await hogIn(t, dir)
    await stop(remote.pid)
    hog.fill(24 * MiB).catch(() => {})
    await until(() => underOom(dir))
    process.kill(remote.pid, 'SIGKILL')
    t.same(await hog.exited, [null, 'SIGKILL'])
    t.same(await below.exited, [null, 'SIGKILL'])
    await allGone(remote)
    t.notOk(isHeld(dir))
  })
}

t.test('kill-group kills 500 members, and those forked meanwhile', async t => {
  // Room for all of them: the one that fills the group is to be the first that finds it full.
  const limit = 512 * MiB
  const dir = scratch(t, limit, 300)
  const below = plainChild(dir, 'below')
  const g = await guarded(t, dir, { delayMs: 300_000, hold: { freeze: 'always' } })
  const hogs = await Promise.all([dir, dir, below].map(where => hogIn(t, where)))
  for (let i = 0; i < 500; i++) await hogs[i % 3]!.fork()
  // Nearly full before the bomb takes the processors.
  const hog = await hogIn(t, dir)
  await hog.fill(limit - usageOf(dir) - 64 * MiB)
  const bomb = await hogIn(t, below)
  boundForks(t, dir, bomb.pid, 50)
  await bomb.bomb()
  hog.fill(128 * MiB).catch(() => {})
  // A member that ends by itself gives room for a moment: then the next episode follows.
  let episode: OomEpisode
  let pids: number[] | undefined
  do {
    episode = await g.next()
    pids = await episode.kill('all').catch((error: unknown) => {
      t.match(error, { code: 'ERR_EPISODE_ENDED' })
      return undefined
    })
  } while (pids === undefined)
  // Children of a hog that is killed first die with it.
  t.ok(pids.length > 5, String(pids.length))
  t.equal(new Set(pids).size, pids.length)
  t.equal((await episode.ended).outcome, 'killed')
  // None has got away: those that were killed need the processor to die.
  await until(() => read(dir, 'cgroup.procs') + read(below, 'cgroup.procs') === '')
})

t.test('the fallback kills members that have come since the last listing', async t => {
  // The kernel keeps the contents of an open cgroup.procs for a second: new members, and forks
  // after the first kill, must be seen all the same.
  const dir = scratch(t, 16 * MiB)
  const g = await guarded(t, dir, { delayMs: 60_000, fallback: 'kill-group' })
  for (let round = 0; round < 3; round++) {
    g.guard.setDelay(60_000)
    const late = await hogIn(t)
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    const episode = await g.next()
    write(dir, 'cgroup.procs', late.pid)
    g.guard.setDelay(50)
    const end = await episode.ended
    t.same(await hog.exited, [null, 'SIGKILL'])
    t.same(await late.exited, [null, 'SIGKILL'])
    t.equal(end.outcome, 'fallback')
    t.same(new Set(end.killed), new Set([hog.pid, late.pid]))
    t.match(end.steps[0], { action: 'kill-group' })
  }
})
