// The claim that an episode allocates nothing, opens nothing and waits for no thread, in its strongest
// form: the sentinel's thread runs episodes under a seccomp filter, installed from outside, that kills
// the process on any system call but those that are listed here. The helpers' calls are only
// printed: they read /proc.
// slow: left out: its filter kills the sentinel at the call that delays it
import t, { type Test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import type { GuardOptions } from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { allEnabled, allGone, overfill } from '../../helpers/faults.js'
import { Remote } from '../../helpers/remote.js'
import { isHeld, MiB, version } from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'
import { allowOnly, Tracer } from '../../helpers/tracer.js'

t.setTimeout(900_000)

const DELAY = 200

// Of the sentinel: waiting, the clock, warm files, and waking others up.
const SENTINEL: readonly string[] = [
  'epoll_wait',
  'epoll_pwait',
  'read', // eventfds, the timerfd
  'write', // the wake-up of JavaScript
  'pread64', // warm control files
  'pwrite64',
  'timerfd_settime',
  'futex', // only wakes
  'restart_syscall',
  ...(version === 2 ? ['sysinfo'] : []), // how much swap the machine has left
]

interface Scene {
  options: GuardOptions
  decide?: string
  outcome: RegExp
}

const SCENES: Record<string, Scene> = {
  'fallback: the kernel': { options: { delayMs: DELAY }, outcome: /^fallback$/ },
  'fallback: kill-largest': {
    options: { delayMs: DELAY, fallback: 'kill-largest' },
    // The answer of a killer that takes more than 100 ms is too late for the report.
    outcome: /^(fallback|killed|recovered)$/,
  },
  'the handler raises the limit': {
    options: { delayMs: 60_000 },
    decide: `episode => episode.raiseLimit('64M').catch(() => {})`,
    outcome: /^limit-raised$/,
  },
  'plan: headroom, then kill-group': {
    options: {
      delayMs: 60_000,
      reserve: { headroom: 2 * MiB },
      plan: [
        { afterMs: 0, action: 'headroom' },
        { afterMs: DELAY, action: 'kill-group' },
      ],
    },
    outcome: /^plan$/,
  },
}

async function start(t: Test, scene: Scene): Promise<{ remote: Remote; dir: string }> {
  const dir = scratch(t, 16 * MiB)
  const remote = await Remote.start(t)
  // Traced, on a slow machine, it is late enough for the guardian to act in its place.
  await remote.guard(dir, { guardian: { graceMs: 30_000 }, ...scene.options }, scene.decide)
  return { remote, dir }
}

// The guarding process runs the job itself: each fork shares with the child what may be shared.
const job = (dir: string) => `
const hog = require('node:child_process').spawn(
  ${JSON.stringify(compiled('hog'))}, [${JSON.stringify(dir)}], { stdio: ['pipe', 'ignore', 'inherit'] })
hog.stdin.on('error', () => {})
hog.stdin.write('fill ${24 * MiB}\\n')
globalThis.ended = new Promise(resolve => hog.on('close', resolve))
globalThis.hog = hog
`

async function episode(t: Test, remote: Remote, dir: string, scene: Scene): Promise<void> {
  await remote.run(job(dir))
  // Of system calls, not of outcomes: a traced one is slow. What CPUs had charged ahead may be
  // uncharged just past v2's line: then there was room for a moment, and an episode begins again.
  for (;;) {
    const { outcome } = await remote.event<{ outcome: string }>('ended')
    if (outcome === 'recovered' && !scene.outcome.test(outcome)) continue
    t.match(outcome, scene.outcome)
    break
  }
  await remote.run(`hog.kill('SIGKILL'); await ended`)
}

const threadsUnderFilter = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/task`).flatMap(tid => {
    const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8')
    return /^Seccomp:\s+2$/m.test(status) ? [/^Name:\s+(.*)$/m.exec(status)![1]!] : []
  })

const skip = process.arch === 'x64' ? false : 'the filter is installed on x86-64 only'

for (const [name, scene] of Object.entries(SCENES)) {
  t.test(`system calls of an episode: ${name}`, async t => {
    const { remote, dir } = await start(t, scene)
    const tracer = await Tracer.list(t, remote.pid, 'oom-')
    await episode(t, remote, dir, scene)
    await tracer.end()
    const counts = new Map<string, number>()
    for (const call of tracer.calls) {
      const key = `${call.thread} ${call.name}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    for (const [key, count] of [...counts].sort()) t.comment(`${key}: ${count}`)
    const sentinel = tracer.calls.filter(call => call.thread === 'oom-sentinel')
    t.ok(sentinel.length > 0)
    t.strictSame(
      sentinel.filter(call => !SENTINEL.includes(call.name)),
      [],
    )
  })

  t.test(`under the filter: ${name}`, { skip }, async t => {
    const { remote, dir } = await start(t, scene)
    allowOnly(remote.pid, 'oom-sentinel', SENTINEL)
    t.strictSame(threadsUnderFilter(remote.pid), ['oom-sentinel'])
    await episode(t, remote, dir, scene)
    await until(() => isHeld(dir)) // armed again
    t.ok((await remote.run<number>('return guards[0].stats.episodes')) >= 1)
    t.strictSame(threadsUnderFilter(remote.pid), ['oom-sentinel'])
  })
}

t.test('the filter kills: without pwrite64 the guardian has to act', { skip }, async t => {
  const { remote, dir } = await start(t, { options: { delayMs: DELAY }, outcome: /^$/ })
  allowOnly(
    remote.pid,
    'oom-sentinel',
    SENTINEL.filter(name => name !== 'pwrite64'),
  )
  const { lived } = await overfill(t, dir)
  t.strictSame(await remote.exited, [null, 'SIGSYS'])
  t.notOk(await lived)
  await allEnabled(dir)
  await allGone(remote)
})
