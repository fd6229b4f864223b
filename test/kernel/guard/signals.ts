// The hold by signals: nothing of the group is written, its processes are stopped at a line below the limit
// and go on when the episode ends, however it ends. For a supervisor in a container that it cannot write.
// lab: short on 6.12/v2
import { spawnSync } from 'node:child_process'
import { readFileSync, rmdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type EpisodeEnd, type GuardOptions } from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { failure, guarded } from '../../helpers/guard.js'
import { openGroup } from '../../helpers/group.js'
import { Hog, hogIn } from '../../helpers/hog.js'
import {
  isHeld,
  killsIn,
  limit,
  MiB,
  read,
  usageOf,
  version,
  write,
} from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { child, plainChild, scratch, until } from '../../helpers/scratch.js'
import { mountOf, twin } from '../../helpers/twin.js'

const byNumber = (a: number, b: number): number => a - b
function bound(g: Awaited<ReturnType<typeof guarded>>) {
  return { guard: g.guard, next: () => g.next() }
}

const LONG = 60_000
const LIMIT = 256 * MiB
// Wide, so that a machine that is busy with other things still stops them in time: bench has the figures.
const BAND = 96 * MiB
const LINE = LIMIT - BAND
const BY = { by: 'signals', band: BAND } as const
const signals: GuardOptions = { delayMs: LONG, hold: BY }

const state = (pid: number): string =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)![0]!
const isStopped = (pid: number): boolean => state(pid) === 'T'
/** Memory that it fills slowly enough for a machine under load. */
async function pour(hog: Hog, bytes: number, piece = 4 * MiB): Promise<void> {
  for (let filled = 0; filled < bytes; filled += piece) await hog.fill(piece)
}

t.test('children are stopped at the line, before the kernel kills', async t => {
  const dir = scratch(t, LIMIT)
  const before = read(dir, version === 1 ? 'memory.oom_control' : 'memory.high')
  const { guard, next } = bound(await guarded(t, dir, signals))
  t.equal(guard.heldBy, 'signals')
  t.notOk(isHeld(dir), 'nothing is written')
  const hogs = [await hogIn(t, dir), await hogIn(t, dir)]
  const idle = await hogIn(t, dir)
  const filled = hogs.map(hog => pour(hog, LIMIT))
  for (const fill of filled) fill.catch(() => {})
  const episode = await next()
  t.ok(episode.usage >= LINE && episode.usage <= LIMIT, `${episode.usage}`)
  await until(() => [...hogs, idle].every(hog => isStopped(hog.pid)))
  const usage = usageOf(dir)
  await sleep(100)
  // The kernel takes back what CPUs have charged ahead.
  t.ok(usageOf(dir) <= usage, 'not a byte more')
  t.equal(read(dir, version === 1 ? 'memory.oom_control' : 'memory.high'), before)
  t.strictSame(await episode.kill('all'), [...hogs, idle].map(hog => hog.pid).sort(byNumber))
  t.match(await episode.ended, { outcome: 'killed', kernelKills: 0 })
  t.equal(killsIn(dir), 0)
})

t.test('by default the largest child dies at the deadline, and the others go on', async t => {
  const dir = scratch(t, LIMIT)
  const { next } = bound(await guarded(t, dir, { ...signals, delayMs: 200 }))
  const small = await hogIn(t, dir)
  await small.fill(16 * MiB)
  const large = await hogIn(t, dir)
  pour(large, LIMIT).catch(() => {})
  const episode = await next()
  const end = await episode.ended
  t.match(end, { outcome: 'fallback', killed: [large.pid], kernelKills: 0 })
  t.ok(Number(end.at - episode.startedAt) >= 200e6)
  await until(() => !isStopped(small.pid))
  t.equal(await small.fill(MiB), MiB, 'it works on')
})

t.test('whatever ends the episode, all go on', async t => {
  const dir = scratch(t, LIMIT)
  for (const how of ['raised', 'freed', 'delay 0', 'disposed', 'yielded'] as const) {
    limit(dir, LIMIT)
    const { guard, next } = bound(await guarded(t, dir, signals))
    const hog = await hogIn(t, dir)
    const other = await hogIn(t, dir)
    await pour(other, 64 * MiB)
    // Above the line, and below the limit: the kernel has no reason to kill.
    const filled = pour(hog, LINE - 40 * MiB)
    filled.catch(() => {})
    const episode = await next()
    await until(() => isStopped(hog.pid) && isStopped(other.pid))
    if (how === 'raised') await episode.raiseLimit({ by: 256 * MiB })
    if (how === 'freed') process.kill(other.pid, 'SIGKILL')
    if (how === 'delay 0') guard.setDelay(0)
    if (how === 'disposed') await guard.dispose()
    if (how === 'yielded') await episode.yield()
    await filled
    if (how === 'yielded') {
      t.notOk(isStopped(hog.pid), 'the kernel has nothing to decide: they work on above the line')
      t.equal(await hog.free(), 0)
      await hog.end()
    }
    const { outcome } = await episode.ended
    const outcomes = {
      raised: 'limit-raised',
      freed: /recovered|killed/,
      'delay 0': 'cancelled',
      disposed: 'cancelled',
      yielded: 'fallback',
    }
    t.match(outcome, outcomes[how], how)
    t.equal(killsIn(dir), 0)
    await guard.dispose()
    await hog.end()
    await other.end()
  }
})

t.test('the group is removed while who was in it stands still elsewhere', async t => {
  const dir = scratch(t, LIMIT)
  const elsewhere = scratch(t)
  const { guard, next } = bound(await guarded(t, dir, signals))
  const hog = await hogIn(t, dir)
  pour(hog, LIMIT).catch(() => {})
  const episode = await next()
  await until(() => isStopped(hog.pid))
  write(elsewhere, 'cgroup.procs', hog.pid)
  // What it has been charged for stays, and is freed with the group: v1 refuses neither.
  rmdirSync(dir)
  t.match((await episode.ended).outcome, /^(removed|recovered)$/)
  await until(() => !isStopped(hog.pid))
  await guard.dispose()
})

t.test("fallback 'kernel': they go on, and the kernel kills at the limit", async t => {
  const dir = scratch(t, LIMIT)
  const { guard, next } = bound(
    await guarded(t, dir, { ...signals, delayMs: 100, fallback: 'kernel' }),
  )
  const hog = await hogIn(t, dir)
  await pour(hog, LINE + 2 * MiB).catch(() => {})
  const episode = await next()
  t.match(await episode.ended, { outcome: 'fallback', kernelKills: 0, killed: [] })
  t.notOk(isStopped(hog.pid), 'it stands past the line, where the kernel has nothing to decide')
  await sleep(300)
  t.equal(guard.stats.episodes, 1)
  // It grows: it is stopped again, and let go again, up to the limit.
  const rest = pour(hog, 2 * LIMIT).catch(() => {})
  t.match(await (await next()).ended, { outcome: /^(fallback|killed)$/, killed: [] })
  await rest
  t.strictSame(await hog.exited, [null, 'SIGKILL'])
  t.equal(killsIn(dir), 1)
})

t.test('a killing fallback goes on until the group is below the line', async t => {
  const dir = scratch(t, LIMIT)
  const { guard, next } = bound(await guarded(t, dir, { ...signals, delayMs: 100 }))
  const PIECE = 20 * MiB
  const hogs: Hog[] = []
  for (let i = 0; i < LINE / PIECE + 1; i++) {
    hogs.push(await hogIn(t, dir))
    pour(hogs.at(-1)!, PIECE).catch(() => {})
    await until(() => usageOf(dir) >= Math.min(LINE, (i + 1) * PIECE) || guard.stats.episodes > 0)
  }
  const living = () =>
    hogs.filter(({ child }) => child.exitCode === null && child.signalCode === null)
  const killed: number[] = []
  do {
    const end = await (await next()).ended
    t.match(end, { outcome: /^(fallback|recovered)$/, kernelKills: 0 })
    killed.push(...end.killed)
  } while (usageOf(dir) >= LINE)
  t.ok(killed.length >= 1)
  await until(() => hogs.length - living().length === killed.length)
  await until(() => !living().some(({ pid }) => isStopped(pid)))
  t.equal(killsIn(dir), 0)
})

t.test('where the kernel was first, the episode says so', async t => {
  const dir = scratch(t, LIMIT)
  const narrow = { by: 'signals', band: '64K' } as const
  const { guard } = await guarded(t, dir, { delayMs: 200, hold: narrow })
  const seen: number[] = []
  void (async () => {
    for await (const { ended } of guard) {
      const { outcome, kernelKills } = await ended
      seen.push(kernelKills)
      t.equal(outcome === 'killed', kernelKills > 0, outcome)
    }
  })()
  for (let i = 0; i < 10; i++) {
    const before = killsIn(dir)
    const episodes = guard.stats.episodes
    seen.length = 0
    const hog = await Hog.start(dir)
    hog.fill(2 * LIMIT).catch(() => {})
    await hog.exited
    await until(() => usageOf(dir) < LIMIT / 2)
    await until(() => seen.length === guard.stats.episodes - episodes)
    const kills = seen.reduce((sum, n) => sum + n, 0)
    if (seen.length > 0) t.equal(kills, killsIn(dir) - before)
  }
  await guard.dispose()
})

t.test('what another program has stopped stays stopped', async t => {
  const dir = scratch(t, LIMIT)
  const { next } = bound(await guarded(t, dir, signals))
  const asleep = await hogIn(t, dir)
  process.kill(asleep.pid, 'SIGSTOP')
  await until(() => isStopped(asleep.pid))
  const hog = await hogIn(t, dir)
  const other = await hogIn(t, dir)
  pour(hog, LIMIT).catch(() => {})
  const episode = await next()
  await until(() => isStopped(hog.pid) && isStopped(other.pid))
  await episode.kill(hog.pid)
  await episode.ended
  await until(() => !isStopped(other.pid))
  t.ok(isStopped(asleep.pid))
  process.kill(asleep.pid, 'SIGCONT')
})

t.test('one that is sent SIGCONT in an episode is stopped again', async t => {
  const dir = scratch(t, LIMIT)
  const { next } = bound(await guarded(t, dir, signals))
  const hog = await hogIn(t, dir)
  pour(hog, LIMIT).catch(() => {})
  const episode = await next()
  await until(() => isStopped(hog.pid))
  process.kill(hog.pid, 'SIGCONT')
  await until(() => isStopped(hog.pid))
  await episode.kill('all')
  await episode.ended
})

t.test('who: descendants, or every member', async t => {
  for (const who of ['children', 'members'] as const) {
    const dir = scratch(t, LIMIT)
    // Of another parent, which has ended: no descendant of this process.
    const { stdout } = spawnSync(
      'sh',
      [
        '-c',
        `setsid sh -c 'echo $$ > ${dir}/cgroup.procs; exec sleep 1000' >/dev/null 2>&1 & echo $!`,
      ],
      { encoding: 'utf8' },
    )
    const stranger = Number(stdout)
    t.teardown(() => {
      try {
        process.kill(stranger, 'SIGKILL')
      } catch {}
    })
    await until(() => read(dir, 'cgroup.procs').includes(String(stranger)))
    const { next } = bound(await guarded(t, dir, { ...signals, hold: { ...BY, who } }))
    const hog = await hogIn(t, dir)
    pour(hog, LIMIT).catch(() => {})
    const episode = await next()
    await until(() => isStopped(hog.pid))
    if (who === 'members') await until(() => isStopped(stranger))
    else t.notOk(isStopped(stranger))
    t.strictSame(
      (await episode.kill('all')).sort(byNumber),
      (who === 'members' ? [hog.pid, stranger] : [hog.pid]).sort(byNumber),
    )
    await episode.ended
  }
})

t.test('grandchildren, and those in groups below', async t => {
  const dir = scratch(t, LIMIT)
  const below = version === 1 ? child(dir, 'below') : plainChild(dir, 'below')
  const { next } = bound(await guarded(t, dir, { ...signals, descendants: 'kernel' }))
  const hog = await hogIn(t, version === 1 ? dir : below)
  const grandchild = await hog.fork()
  const deep = await hogIn(t, below)
  pour(hog, LIMIT).catch(() => {})
  const episode = await next()
  await until(() => [hog.pid, grandchild, deep.pid].every(isStopped))
  await episode.kill('all')
  await episode.ended
})

t.test('a fork bomb does not outrun it', async t => {
  if (mountOf('pids') === undefined) return t.pass('nothing here to bound a fork bomb with')
  const dir = scratch(t, LIMIT)
  const { guard, next } = bound(await guarded(t, dir, { ...signals, fallback: 'kill-group' }))
  const bomb = await hogIn(t, dir)
  const pids = twin(t, 'pids', dir)
  write(pids, 'pids.max', 60)
  write(pids, 'cgroup.procs', bomb.pid)
  await bomb.bomb()
  const members = () => read(dir, 'cgroup.procs').split('\n').filter(Boolean).map(Number)
  const standsStill = (pid: number): boolean => {
    try {
      return isStopped(pid) || state(pid) === 'Z'
    } catch {
      return true
    }
  }
  // What a fork that is refused has allocated is freed when the bomb stops: with that the group may
  // be below its line again, until the other job has filled that as well.
  let seen = false
  const largest = async (): Promise<Hog> => {
    const hog = await hogIn(t, dir)
    pour(hog, LIMIT).catch(() => {})
    return hog
  }
  let hog = await largest()
  let begins = next()
  for (let outcome = ''; outcome !== 'fallback';) {
    // Where the machine stood still while the band was filled, the kernel has killed it.
    const episode = await Promise.race([begins, hog.exited.then(() => undefined)])
    if (episode === undefined) {
      hog = await largest()
      continue
    }
    begins = next()
    let over = false
    void episode.ended.then(() => (over = true))
    await until(() => over || (seen ||= members().every(standsStill)))
    if (seen) guard.setDelay(50)
    const end = await episode.ended
    outcome = end.outcome
    t.match(outcome, /^(recovered|fallback|killed)$/)
    if (outcome !== 'fallback') t.equal(outcome === 'killed', end.kernelKills > 0)
  }
  begins.catch(() => {})
  t.ok(seen, 'all stood still at once')
  await until(() => members().length === 0)
})

t.test('what needs a control file is refused by name, before anything is touched', async t => {
  const dir = scratch(t, LIMIT)
  const group = await openGroup(t, dir)
  for (const action of ['headroom', 'reclaim'] as const) {
    const plan = [{ action, afterMs: 0, ...(action === 'headroom' ? { bytes: MiB } : {}) }] as never
    const why = await failure(group.guard({ ...signals, plan }))
    t.match(why, {
      code: /ERR_CGROUP_UNSUPPORTED|ENOENT/,
      message: new RegExp(`signals.*${action}|ENOENT`),
    })
  }
  await t.rejects(group.guard({ ...signals, hold: { by: 'force' } } as never), TypeError)
  await t.rejects(group.guard({ ...signals, hold: { who: 'all' } } as never), TypeError)
})

t.test("'auto' takes the kernel's hold where it can be had", async t => {
  const dir = scratch(t, LIMIT)
  const { guard } = await guarded(t, dir, { delayMs: LONG, hold: { by: 'auto' } })
  t.equal(guard.heldBy, 'kernel')
  t.ok(isHeld(dir))
  await guard.dispose()
  t.notOk(isHeld(dir))
})

t.test("'auto' holds by signals where the group cannot be written", async t => {
  const dir = scratch(t, LIMIT)
  const remote = await Remote.start(t, { nobody: true })
  await remote.guard(dir, { delayMs: LONG, hold: { by: 'auto', band: BAND } })
  t.equal(await remote.run('return guards[0].heldBy'), 'signals')
})

t.test('a process that lives in the group needs no plan, and is not stopped', async t => {
  const home = scratch(t, LIMIT)
  const remote = await Remote.start(t, { home })
  await remote.guard(home, { ...signals, delayMs: 2000 })
  const { hogPid, ended } = await inHome(remote)
  await until(() => isStopped(hogPid))
  t.notOk(isStopped(remote.pid))
  t.equal(await remote.run('return 1 + 1'), 2)
  const end = await ended
  t.match(end, { outcome: 'fallback', killed: [hogPid], kernelKills: 0 })
})

t.test('a plan frees the ballast of a process that lives in the group', async t => {
  const home = scratch(t, LIMIT)
  const remote = await Remote.start(t, { home })
  const ballast = { reserve: { ballast: 48 * MiB } }
  const plan = [{ action: 'ballast', afterMs: 0 }] as const
  await remote.guard(home, { ...signals, ...ballast, plan: [...plan] })
  const { ended } = await inHome(remote)
  const end = (await ended) as unknown as EpisodeEnd
  t.match(end, { kernelKills: 0, killed: [] })
  // A helper that has given it up may not get to say so before the group is seen to be well again.
  const silent = end.steps?.[0]?.code === 'EINPROGRESS'
  t.match(end.outcome, silent ? 'recovered' : 'plan')
})

const staysStopped = (pid: number): boolean => {
  try {
    return isStopped(pid)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return false
  }
}

// The worst that can happen to the process while its children stand still.
for (const how of [
  'SIGKILL',
  'exit',
  'exec of another program',
  'guardian, then process',
] as const) {
  t.test(`nobody stays stopped: ${how}`, async t => {
    const home = scratch(t, LIMIT)
    const remote = await Remote.start(t, { home })
    const { guardian } = await remote.guard(home, { ...signals, delayMs: 2500 })
    const { hogPid, otherPid } = await inHome(remote)
    await until(() => isStopped(hogPid) && isStopped(otherPid))
    if (how === 'SIGKILL') process.kill(remote.pid, 'SIGKILL')
    if (how === 'exit') void remote.run('process.exit(0)').catch(() => {})
    if (how === 'exec of another program') {
      void remote
        .run('process.execve?.("/bin/true", ["true"], {}) ?? process.exit(0)')
        .catch(() => {})
    }
    if (how === 'guardian, then process') {
      process.kill(guardian, 'SIGKILL')
      await until(async () => {
        const now = await remote.run<number>('return binding().guardianPid()')
        return now !== 0 && now !== guardian
      })
      process.kill(remote.pid, 'SIGKILL')
    }
    await remote.exited
    await until(() => !staysStopped(hogPid))
    await until(() => !staysStopped(otherPid))
  })
}

t.test('the guardian carries out the fallback of a process that is stopped itself', async t => {
  const home = scratch(t, LIMIT)
  const remote = await Remote.start(t, { home })
  await remote.guard(home, { ...signals, delayMs: 2000 })
  const { hogPid, otherPid, ended } = await inHome(remote)
  await until(() => isStopped(hogPid))
  process.kill(remote.pid, 'SIGSTOP')
  t.teardown(() => void (alive(remote.pid) && process.kill(remote.pid, 'SIGCONT')))
  await until(() => !alive(hogPid))
  await until(() => !isStopped(otherPid))
  t.equal(killsIn(home), 0)
  process.kill(remote.pid, 'SIGCONT')
  t.match(await ended, { outcome: 'guardian' })
})

t.test('the guardian alone ends: the next one has its notes', async t => {
  const home = scratch(t, LIMIT)
  const remote = await Remote.start(t, { home })
  const { guardian } = await remote.guard(home, { ...signals, delayMs: LONG })
  const { hogPid } = await inHome(remote)
  await until(() => isStopped(hogPid))
  process.kill(guardian, 'SIGTERM')
  await until(async () => {
    const now = await remote.run<number>('return binding().guardianPid()')
    return now !== 0 && now !== guardian
  })
  await until(() => isStopped(hogPid))
  await remote.run('await guards[0].dispose()')
  await until(() => !isStopped(hogPid))
})

/** Two jobs of the supervisor in the group that it lives in: the one that fills it, and another one. */
async function inHome(
  remote: Remote,
): Promise<{ hogPid: number; otherPid: number; ended: Promise<Record<string, unknown>> }> {
  const [hogPid, otherPid] = await remote.run<[number, number]>(`
    const { spawn } = require('node:child_process')
    // Sessions of their own: a group of processes that loses its parent while some are stopped is sent SIGHUP.
    const start = () => spawn(${JSON.stringify(compiled('hog'))}, [], { stdio: ['pipe', 'pipe', 'inherit'], detached: true })
    const [hog, other] = (globalThis.jobs = [start(), start()])
    for (const job of jobs) job.stdin.on('error', () => {})
    other.stdin.write('fill ${16 * MiB}\\n')
    await new Promise(resolve => other.stdout.on('data', data => String(data).includes('filled') && resolve()))
    let left = ${LIMIT / (4 * MiB)}
    const more = () => left-- > 0 && hog.stdin.write('fill ${4 * MiB}\\n')
    hog.stdout.on('data', data => String(data).includes('filled') && more())
    more()
    return [hog.pid, other.pid]`)
  await remote.event('episode')
  const ended = remote.event<Record<string, unknown>>('ended')
  // It may end before.
  ended.catch(() => {})
  return { hogPid, otherPid, ended }
}

function alive(pid: number): boolean {
  try {
    return state(pid) !== 'Z'
  } catch {
    return false
  }
}
