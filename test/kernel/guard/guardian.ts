// The guardian itself: what it is, when it is there, where it lives, and what becomes of the guards
// when something happens to it.
import t from 'tap'
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cli } from '../../helpers/cli.js'
import {
  allEnabled,
  allGone,
  Clock,
  comm,
  overfill,
  rounds,
  stop,
  recordLateness,
} from '../../helpers/faults.js'
import { leaveHeld, Remote } from '../../helpers/remote.js'
import {
  groupOf,
  isHeld,
  MiB,
  nearestAbove,
  read,
  TOLD_BY,
  underOom,
} from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const DELAY = 300
// On a machine that is busy enough it would act in the place of the sentinel.
const PATIENT = { graceMs: 30_000 }
const status = (pid: number, key: string): string =>
  new RegExp(`^${key}:\\s+(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]!
const stat = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
const pidOf = (remote: Remote): Promise<number> =>
  remote.run<number>('return binding().guardianPid()')

t.test(
  'the guardian is a small process with the descriptors that it needs, and no more',
  async t => {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    t.equal(await pidOf(remote), 0, 'none before the first guard')
    const { guardian } = await remote.guard(dir, { delayMs: 1000 })
    t.equal(comm(guardian), 'oom-guardian')
    const rss = Number.parseInt(status(guardian, 'VmRSS'))
    t.comment(`resident: ${rss} kB`)
    t.ok(rss < 1280)
    t.equal(status(guardian, 'VmLck') !== '0 kB', true, 'locked')
    // CAP_SYS_RESOURCE, where this machine gives it.
    const allowed = BigInt(`0x${status(process.pid, 'CapEff')}`) & (1n << 24n)
    const adj = readFileSync(`/proc/${guardian}/oom_score_adj`, 'utf8').trim()
    t.equal(
      adj,
      allowed ? '-1000' : readFileSync(`/proc/${remote.pid}/oom_score_adj`, 'utf8').trim(),
    )
    const [, parent, , session] = stat(guardian)
    t.equal(Number(parent), remote.pid)
    t.equal(Number(session), guardian, 'a session of its own')
    t.equal(readlinkSync(`/proc/${guardian}/cwd`), '/')
    // Of its parent it has the socket, the shared memory and the pidfd; no standard input or output.
    const fds = readdirSync(`/proc/${guardian}/fd`)
      .sort((a, b) => Number(a) - Number(b))
      .map(fd => readlinkSync(`/proc/${guardian}/fd/${fd}`))
    t.strictSame(fds.slice(0, 3), ['/dev/null', '/dev/null', '/dev/null'])
    t.match(fds.slice(3, 6), [/^socket:/, /^\/memfd:cgroup-oom/, 'anon_inode:[pidfd]'])
    // v2: and how much swap the groups above leave.
    const others = fds.slice(6).filter(name => !name.startsWith(dirname(dir)))
    t.strictSame(
      others.sort(),
      [
        ...Array<string>(3).fill('/'), // in reserve
        '/proc',
        'anon_inode:[eventfd]', // wake-up
        ...TOLD_BY,
        'anon_inode:[eventpoll]',
        'anon_inode:[signalfd]',
        'anon_inode:[timerfd]',
        'anon_inode:inotify',
      ].sort(),
    )

    const second = scratch(t, 16 * MiB)
    await remote.guard(second, { delayMs: 1000 })
    await remote.run(`
    const { promise, resolve, reject } = Promise.withResolvers?.() ?? (() => {
      const it = {}; it.promise = new Promise((a, b) => { it.resolve = a; it.reject = b }); return it })()
    globalThis.worker = new Worker(\`
      const { parentPort, workerData: { dist, dir } } = require('node:worker_threads')
      const { MemoryGroup } = require(dist + '/index.js')
      void (async () => {
        const group = await MemoryGroup.open(dir)
        globalThis.guard = await group.guard({ delayMs: 1000 })
        parentPort.postMessage('armed')
        setInterval(() => {}, 1000)
      })()\`, { eval: true, workerData: { dist: DIST, dir: ${JSON.stringify(scratch(t, 16 * MiB))} } })
    worker.once('message', resolve); worker.once('error', reject)
    await promise`)
    t.equal(await pidOf(remote), guardian, 'one, however many guards and workers')
    t.strictSame(remote.household().sort(), [remote.pid, guardian].sort())
    await remote.run('await worker.terminate(); await guards[0].dispose()')
    t.equal(await pidOf(remote), guardian)
    await remote.run('await guards[1].dispose()')
    t.equal(await pidOf(remote), 0, 'gone with the last guard')
    t.strictSame(remote.household(), [remote.pid])
  },
)

t.test('it is there before the first killer is disabled', async t => {
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  const armed = remote.guard(dir, { delayMs: 1000 })
  await until(() => isHeld(dir))
  t.equal(remote.household().filter(pid => comm(pid) === 'oom-guardian').length, 1)
  await armed
})

t.test('signals of a terminal do not reach it', async t => {
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  const { guardian } = await remote.guard(dir, { delayMs: DELAY })
  for (const name of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTSTP', 'SIGPIPE', 'SIGUSR1'] as const) {
    process.kill(guardian, name)
  }
  await sleep(20)
  t.equal(comm(guardian), 'oom-guardian')
  t.match(status(guardian, 'State'), /^S/)
  t.equal(await pidOf(remote), guardian)
})

t.test('SIGKILL of the guardian: another one keeps the promise', async t => {
  const late: number[] = []
  for (let round = 0; round < rounds; round++) {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    const { guardian } = await remote.guard(dir, { delayMs: DELAY })
    process.kill(guardian, 'SIGKILL')
    await until(async () => ![0, guardian].includes(await pidOf(remote)))
    t.ok(isHeld(dir))
    const { hog, lived } = await overfill(t, dir)
    const clock = await Clock.start(dir, hog)
    remote.child.kill('SIGKILL')
    late.push((await clock.stop()) - DELAY)
    t.notOk(await lived)
    await allEnabled(dir)
    await allGone(remote)
  }
  recordLateness(t, 'SIGKILL of the guardian, then of the supervisor', late)
})

t.test('SIGKILL of the guardian in an episode: the sentinel goes on', async t => {
  const late: number[] = []
  for (let round = 0; round < rounds; round++) {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    const { guardian } = await remote.guard(dir, { delayMs: DELAY, guardian: PATIENT })
    const { hog, lived } = await overfill(t, dir)
    const clock = await Clock.start(dir, hog)
    process.kill(guardian, 'SIGKILL')
    late.push((await clock.stop()) - DELAY)
    t.notOk(await lived)
    t.match(await remote.event('ended'), { outcome: 'fallback', kernelKills: 1 })
    t.ok(isHeld(dir))
    await until(async () => ![0, guardian].includes(await pidOf(remote)))
  }
  recordLateness(t, 'SIGKILL of the guardian during an episode', late)
})

t.test('SIGKILL of the guardian in an episode, then of the supervisor', async t => {
  const late: number[] = []
  for (let round = 0; round < rounds; round++) {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    const { guardian } = await remote.guard(dir, { delayMs: 2 * DELAY })
    const { hog, lived } = await overfill(t, dir)
    const clock = await Clock.start(dir, hog)
    const { deadline } = await remote.event<{ deadline: number }>('episode')
    process.kill(guardian, 'SIGKILL')
    await until(async () => ![0, guardian].includes(await pidOf(remote)))
    await until(() => isHeld(dir))
    remote.child.kill('SIGKILL')
    late.push((await clock.stop()) - 2 * DELAY)
    t.ok(process.hrtime.bigint() >= BigInt(deadline), 'it keeps its deadline')
    t.notOk(await lived)
    await allEnabled(dir)
    await allGone(remote)
  }
  recordLateness(t, 'SIGKILL of the guardian, then of the supervisor, in one episode', late)
})

t.test('SIGTERM of the guardian: it restores the groups, exits, and is replaced', async t => {
  for (let round = 0; round < rounds; round++) {
    const dir = scratch(t, 64 * MiB)
    const below = child(dir, 'below', 16 * MiB)
    const remote = await Remote.start(t)
    const { guardian } = await remote.guard(dir, { delayMs: DELAY, guardian: PATIENT })
    // The supervisor cannot repair it while it is stopped.
    await stop(remote.pid)
    const born = child(dir, 'born', 16 * MiB)
    process.kill(guardian, 'SIGTERM')
    await until(() => comm(guardian) === undefined || status(guardian, 'State').startsWith('Z'))
    t.strictSame([dir, below, born].filter(isHeld), [], 'everything is restored')
    remote.child.kill('SIGCONT')
    await until(() => [dir, below, born].every(isHeld))
    t.not(await pidOf(remote), guardian)
    const { lived } = await overfill(t, below)
    t.notOk(await lived)
    t.match(await remote.event('ended'), { outcome: 'fallback', group: below })
  }
})

t.test(
  'if process and guardian are killed at once, the group hangs until it is rescued or adopted',
  async t => {
    const dir = scratch(t, 16 * MiB)
    const remote = await Remote.start(t)
    const { guardian } = await remote.guard(dir, { delayMs: DELAY })
    // So that neither of them sees the other go.
    await stop(remote.pid)
    process.kill(guardian, 'SIGKILL')
    remote.child.kill('SIGKILL')
    await remote.exited
    await allGone(remote)
    t.ok(isHeld(dir), 'no process is left to enable it')
    const { lived } = await overfill(t, dir)
    await until(() => underOom(dir))
    await sleep(2 * DELAY)
    t.ok(underOom(dir), 'it hangs')
    const found = await cli(['doctor', '--in', dir])
    t.equal(found.status, 1)
    t.match(found.stdout, `${dir}: its killer is disabled, held by: no live process`)
    const rescued = await cli(['rescue', dir])
    t.match(rescued, { status: 0, stdout: /released \(/ })
    t.notOk(await lived)
    t.notOk(isHeld(dir))
    // takeOver adopts it, and leaves it enabled.
    await leaveHeld(t, dir)
    const heir = await Remote.start(t)
    await t.rejects(heir.guard(dir, { delayMs: DELAY }), { code: 'ERR_KILLER_DISABLED' })
    await heir.guard(dir, { delayMs: DELAY, takeOver: true })
    await heir.run('await guards[0].dispose()')
    t.notOk(isHeld(dir))
  },
)

t.test(
  'a guardian that cannot be replaced: the killers are enabled, and the guard fails with a code',
  async t => {
    // A package of its own, whose program can be taken away.
    const own = mkdtempSync(join(tmpdir(), 'cgroup-oom-'))
    t.teardown(() => rmSync(own, { recursive: true }))
    cpSync('build/Release/oom-guardian', join(own, 'oom-guardian'))
    chmodSync(own, 0o755)
    const dir = scratch(t, 64 * MiB)
    const below = child(dir, 'below', 16 * MiB)
    const remote = await Remote.start(t)
    await remote.run(`
    const real = binding().setGuardian
    binding().setGuardian = () => real(${JSON.stringify(join(own, 'oom-guardian'))})`)
    const { guardian } = await remote.guard(dir, { delayMs: 60_000 })
    const { lived } = await overfill(t, below)
    await remote.event('episode')
    rmSync(join(own, 'oom-guardian'))
    process.kill(guardian, 'SIGKILL')
    t.equal(await remote.event('failed'), 'ERR_GUARDIAN_LOST')
    t.notOk(await lived, 'no task waits for a guard that is gone')
    t.match(await remote.event('ended'), { outcome: 'cancelled' })
    await allEnabled(dir)
    t.strictSame(remote.household(), [remote.pid])
    const born = child(dir, 'born', 16 * MiB)
    t.notOk(isHeld(born))
    await t.rejects(remote.guard(dir, { delayMs: 1000 }), {
      code: 'ENOENT',
      message: /oom-guardian/,
    })
    t.notOk(isHeld(dir))
  },
)

t.test('a stopped guardian is replaced when its answer is needed', async t => {
  const dir = scratch(t, 16 * MiB)
  const second = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  const { guardian } = await remote.guard(dir, { delayMs: DELAY })
  await stop(guardian)
  await remote.run('for (let i = 0; i < 2000; i++) guards[0].setDelay(300 + i % 2)')
  await remote.guard(second, { delayMs: DELAY })
  t.not(await pidOf(remote), guardian)
  t.ok(isHeld(dir) && isHeld(second))
})

t.test('setDelay() does not wait for a guardian that is stopped', async t => {
  const dir = scratch(t, 16 * MiB)
  const second = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  const { guardian } = await remote.guard(dir, { delayMs: DELAY })
  await stop(guardian)
  // Its answer to the second guard is waited for on another thread, for 5 s.
  const took = await remote.run<number>(`
    const armed = guardGroup(${JSON.stringify(second)}, { delayMs: ${DELAY} })
    await new Promise(resolve => setTimeout(resolve, 500))
    const from = performance.now()
    guards[0].setDelay(${2 * DELAY})
    const took = performance.now() - from
    await armed
    return took`)
  t.ok(took < 2500, `${took.toFixed(1)} ms`)
})

t.test('a supervisor inside the group: the guardian is moved out', async t => {
  const top = scratch(t, 256 * MiB)
  const dir = child(top, 'guarded', 192 * MiB)
  const inside = child(dir, 'inside')
  const remote = await Remote.start(t, { home: inside })
  const { guardian } = await remote.guard(dir, {
    delayMs: DELAY,
    reserve: { headroom: 16 * MiB },
    plan: [{ afterMs: 0, action: 'headroom' }],
  })
  t.equal(groupOf(guardian), nearestAbove(dir))
  t.equal(groupOf(remote.pid), inside)
  // Guarding what it was moved to moves it on.
  await remote.guard(top, {
    delayMs: DELAY,
    takeOver: true,
    reserve: { headroom: 16 * MiB },
    plan: [{ afterMs: 0, action: 'headroom' }],
  })
  t.equal(groupOf(guardian), nearestAbove(top))
})

t.test('guardian: { group } is the group that it runs in', async t => {
  const dir = scratch(t, 64 * MiB)
  const place = scratch(t)
  const below = child(dir, 'below')
  const remote = await Remote.start(t)
  const guard = (options: string) =>
    remote.run(`
      const place = await oom.MemoryGroup.open(${options})
      return guardGroup(${JSON.stringify(dir)}, { delayMs: 1000, guardian: { group: place } })`)
  for (const impossible of [dir, below]) {
    await t.rejects(guard(JSON.stringify(impossible)), { code: 'ERR_GUARDIAN_INSIDE' })
    t.notOk(isHeld(dir))
    t.equal(await pidOf(remote), 0)
  }
  const { guardian } = (await guard(JSON.stringify(place))) as { guardian: number }
  t.equal(groupOf(guardian), place)
  // Another guard may not put it inside of the first.
  await t.rejects(
    remote.run(`
      const place = await oom.MemoryGroup.open(${JSON.stringify(below)})
      return guardGroup(${JSON.stringify(scratch(t))}, { delayMs: 1000, guardian: { group: place } })`),
    { code: 'ERR_GUARDIAN_INSIDE' },
  )
  t.equal(groupOf(guardian), place)
  process.kill(guardian, 'SIGKILL')
  await until(async () => ![0, guardian].includes(await pidOf(remote)))
  t.equal(groupOf(await pidOf(remote)), place, 'its successor lives there too')
})

t.test('not as root: neither locked for ever nor at -1000, and there all the same', async t => {
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t, { nobody: true })
  // Before Linux 5.16 it may lock 64 KiB.
  await t.rejects(remote.guard(dir, { delayMs: 1000 }), { code: /^(EACCES|ERR_MEMLOCK_LIMIT)$/ })
  t.equal(await pidOf(remote), 0)
  t.notOk(isHeld(dir))
  t.equal(read(dir, 'cgroup.procs'), '')
})
