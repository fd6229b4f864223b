// A program that guards also spawns. fork(2) makes each private page of a process copy-on-write, locked ones
// too: the next write to one faults and needs a new page, which is charged to the process's group. So no
// page that the library's threads write may be shared with a child: counted by the kernel, while the
// guarding process forks without end and runs each job itself.
import t, { type Test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { GuardOptions } from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { Remote } from '../../helpers/remote.js'
import { MAX, MiB, onV1, underOom, USAGE, write } from '../../helpers/memory-files.js'
import { scratch, until } from '../../helpers/scratch.js'
import { faultsSince, threadFaults } from '../../helpers/thread-faults.js'

t.setTimeout(600_000)

const OOMS = 20

// Children all the time: each fork shares all that may be shared, and each lasts into an episode.
const FORK_ON = `
const { spawn } = require('node:child_process')
globalThis.forked = 0
const next = () => {
  if (globalThis.forked < 0) return
  globalThis.forked++
  spawn('/bin/true', { stdio: 'ignore' }).on('close', () => setTimeout(next, 5))
}
next()
`

// A job that needs more than its group has, run by the guarding process itself.
const job = (dir: string) => `
const { spawn } = require('node:child_process')
const job = spawn(${JSON.stringify(compiled('hog'))}, [${JSON.stringify(dir)}], { stdio: ['pipe', 'ignore', 'inherit'] })
job.stdin.on('error', () => {})
job.stdin.write('fill ${24 * MiB}\\n')
return new Promise(resolve => job.on('close', (code, signal) => resolve(signal)))
`

const SCENES: Record<string, GuardOptions> = {
  'the kernel decides at the deadline': { delayMs: 50 },
  'a plan raises the limit by headroom and kills': {
    delayMs: 30_000,
    reserve: { headroom: 2 * MiB },
    plan: [
      { afterMs: 0, action: 'headroom' },
      { afterMs: 20, action: 'reclaim' },
      { afterMs: 50, action: 'kill-largest' },
    ],
  },
}

async function ooms(t: Test, remote: Remote, dir: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    t.equal(await remote.run(job(dir)), 'SIGKILL')
    await remote.event('ended')
  }
}

/**
 * What is shared faults each time. Once in a while the kernel moves a locked page, to have larger ones
 * (vm.compact_unevictable_allowed), and a thread that touches it meanwhile has a fault too: then the test tries again.
 */
async function withoutFault(t: Test, remote: Remote, act: () => Promise<void>): Promise<void> {
  const seen: Record<string, number>[] = []
  for (let round = 0; round < 3; round++) {
    const before = threadFaults(remote.pid)
    await act()
    seen.push(faultsSince(before, remote.pid))
    if (!Object.values(seen.at(-1)!).some(Boolean)) break
  }
  t.comment(JSON.stringify(seen))
  t.strictSame(
    Object.entries(seen.at(-1)!).filter(([, count]) => count !== 0),
    [],
    'faults',
  )
}

for (const [name, options] of Object.entries(SCENES)) {
  t.test(`no page of the library's threads is shared with a child: ${name}`, async t => {
    const dir = scratch(t, 16 * MiB, 300)
    const remote = await Remote.start(t)
    // On a busy machine the guardian would act in the place of what is counted here.
    await remote.guard(dir, { guardian: { graceMs: 30_000 }, ...options })
    await ooms(t, remote, dir, 1)
    await remote.run(FORK_ON)
    const threads = threadFaults(remote.pid)
    t.strictSame([...new Set([...threads.keys()].map(thread => thread.split(' ')[0]))].sort(), [
      'oom-freer',
      'oom-helper',
      'oom-keeper',
      'oom-sentinel',
      'oom-tree',
    ])
    await withoutFault(t, remote, () => ooms(t, remote, dir, OOMS))
    t.ok((await remote.run<number>('return globalThis.forked')) > OOMS)
  })
}

t.test('nor where it only watches, waits for thresholds and keeps time', async t => {
  const dir = scratch(t, 16 * MiB, 300)
  const remote = await Remote.start(t)
  await remote.run(`
    const group = await oom.MemoryGroup.open(${JSON.stringify(dir)})
    const counts = (globalThis.counts = { watch: 0, tree: 0, usage: 0, delay: 0 })
    const count = async (what, events) => { for await (const _ of events) counts[what]++ }
    void count('watch', group.watch())
    const tree = oom.watchTree(${JSON.stringify(dir)})
    void count('tree', tree)
    await tree.ready
    void count('usage', group.watchUsage('8M'))
    const timer = new oom.DelayTimer()
    void count('delay', timer)
    timer.start(5, { intervalMs: 5 })
  `)
  const counts = () => remote.run<Record<string, number>>('return counts')
  const run = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const before = await counts()
      t.equal(await remote.run(job(dir)), 'SIGKILL')
      await until(async () => {
        const now = await counts()
        return Object.entries(before).every(([what, times]) => now[what]! > times)
      })
    }
  }
  await run(1)
  await remote.run(FORK_ON)
  await withoutFault(t, remote, () => run(OOMS))
})

// A supervisor that lives in the group it guards, without a guardian, spawns while the group is full:
// what its children make it copy is charged to that very group.
const SPAWN_IN_FULL = (dir: string) => `
const { spawn } = require('node:child_process')
const number = file => Number(fs.readFileSync(${JSON.stringify(dir)} + '/' + file, 'utf8'))
const room = () => number('${MAX}') - number('${USAGE}')
fs.writeFileSync(${JSON.stringify(dir)} + '/${MAX}', String(number('${USAGE}') + ${4 * MiB}))
const held = []
const next = () => {
  if (room() > ${MiB}) held.push(Buffer.alloc(${256 * 1024}, 1))
  else held.pop()
  try {
    const child = spawn('/bin/true', { stdio: 'ignore' })
    child.on('error', () => {})
    child.on('exit', () => setImmediate(next))
  } catch {
    setTimeout(next, 1)
  }
}
setImmediate(next)
`

/** The threads of the library that wait for memory now, by the kernel function that they are in. */
function waiting(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap(tid => {
    const name = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim()
    const where = readFileSync(`/proc/${pid}/task/${tid}/wchan`, 'utf8')
    return name.startsWith('oom-') && /oom/.test(where) ? [`${name}: ${where}`] : []
  })
}

const EPISODES = 10
const RESCUE_MS = 20_000

interface Run {
  episodes: number
  faults: number[]
  waited: string[]
  rescued: boolean
}

/**
 * Until it has had that many episodes, or has ended: at its deadline the kernel may take the supervisor
 * itself, and Node.js dies of SIGSEGV at times in a full group whose killer is disabled.
 */
async function fullGroup(t: Test, episodes: number): Promise<Run> {
  const dir = scratch(t, 512 * MiB, 300)
  const remote = await Remote.start(t, { home: dir })
  await remote.guard(dir, {
    delayMs: 500,
    guardian: false,
    reserve: { headroom: 2 * MiB },
    plan: [{ afterMs: 0, action: 'headroom' }],
  })
  const before = threadFaults(remote.pid)
  const run: Run = { episodes: 0, faults: [], waited: [], rescued: false }
  let over = false
  void (async () => {
    for (; !over; run.episodes++) await remote.event('episode')
  })().catch(() => (over = true))
  remote.run(SPAWN_IN_FULL(dir)).catch(() => {})
  const waited = new Set<string>()
  let since = 0
  while (!over && run.episodes < episodes && !run.rescued) {
    await sleep(2)
    since = underOom(dir) ? since || Date.now() : 0
    run.rescued = since > 0 && Date.now() - since > RESCUE_MS
    try {
      for (const thread of waiting(remote.pid)) waited.add(thread)
      run.faults = Object.values(faultsSince(before, remote.pid))
    } catch {} // it, or a thread of it, has ended
  }
  over = true
  write(dir, 'memory.oom_control', 0)
  remote.child.kill('SIGKILL')
  await remote.exited
  return { ...run, waited: [...waited] }
}

t.test(
  'inside the group that it guards and fills it spawns without end, and never waits for itself',
  onV1('on v2 the members are stopped below their limit'),
  async t => {
    let episodes = 0
    let faults = 0
    for (let attempt = 0; attempt < 50 && episodes < EPISODES; attempt++) {
      const run = await fullGroup(t, EPISODES - episodes)
      t.comment(JSON.stringify(run))
      episodes += run.episodes
      t.notOk(run.rescued, 'out of memory until it was rescued')
      t.strictSame(run.waited, [], 'threads of the library that waited for memory')
      faults += run.faults.reduce((a, b) => a + b, 0)
    }
    // 0, but for a page that the kernel moves; with shared pages some 40 an episode.
    t.ok(faults < EPISODES, `${faults} faults of these threads`)
    t.ok(episodes >= EPISODES, `${episodes} episodes`)
  },
)
