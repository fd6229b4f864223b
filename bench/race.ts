// One contender of the race: who acts on a job that takes more memory than there is, how soon memory is free
// again, who dies, and what that costs while nothing happens. scripts/race.mjs runs it once for each, most of
// them in the lab: a daemon that watches the whole machine must not see this one.
//
//   OOM_RACE_CONTENDER   kernel, library, earlyoom, nohang, oomd or systemd-oomd
//   OOM_RACE_PART        idle or scenarios (both)
//   OOM_RACE_ROUNDS      of each scenario (3)
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Hog } from '../test/helpers/hog.js'
import { limit, MiB, mount, USAGE, version, write } from '../test/helpers/memory-files.js'
import { destroy, scratch } from '../test/helpers/scratch.js'
import { inLab, swapOn } from '../test/helpers/swap.js'
import { program } from './lib/programs.js'
import { measure, type Bench } from './lib/run.js'

const CONTENDER = process.env.OOM_RACE_CONTENDER ?? 'kernel'
const ROUNDS = Number(process.env.OOM_RACE_ROUNDS ?? 3)
const PART = process.env.OOM_RACE_PART
const RACE = process.env.OOM_RACE_PROGRAM ?? program('race')
const IDLE_MS = 30_000
const PATIENCE_MS = 180_000
/** systemd-oomd kills at most once in 15 s. */
const PAUSE_MS = CONTENDER === 'systemd-oomd' ? 17_000 : 5000

/** What the packages' own units start. */
const DAEMONS: Record<string, string[]> = {
  earlyoom: ['/usr/bin/earlyoom', '-r', '3600'],
  nohang: ['/usr/sbin/nohang', '--monitor', '--config', '/etc/nohang/nohang.conf'],
  // Of DAEMON_OPTS the directory is v2's own here: /etc/default/oomd says that it has to be.
  oomd: '/usr/bin/oomd --interval 1 --config /etc/oomd/oomd.json --cgroup-fs /sys/fs/cgroup'.split(
    ' ',
  ),
}

interface Scenario {
  name: string
  /** Of the job's group; otherwise the machine is what it fills. */
  max?: number
  processes: number
  /** Bytes a second. */
  rate: number
  swap?: number
  once?: true
}

const GROUP: Scenario = { name: 'group', max: 256 * MiB, processes: 1, rate: 100 * MiB }
const MACHINE: Scenario[] = [
  { name: 'machine', processes: 1, rate: 100 * MiB },
  // What kills one process at a time needs many kills: a minute and more.
  { name: 'machine, 8 processes', processes: 8, rate: 100 * MiB, once: true },
  { name: 'machine, swap', processes: 1, rate: 100 * MiB, swap: 256 * MiB },
]
/** A process that has done nothing: larger than each of eight. */
const SERVICE_BYTES = 384 * MiB

/** A child that answers in lines. */
class Lines {
  readonly #lines: AsyncIterator<string, unknown>
  readonly exited: Promise<unknown>
  constructor(readonly child: ChildProcess) {
    this.exited = once(child, 'exit')
    child.stdin!.on('error', () => {})
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  }
  static start(file: string, ...args: string[]): Lines {
    return new Lines(spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
  }
  async hear(word: string): Promise<string[]> {
    const { value, done } = await this.#lines.next()
    if (done || typeof value !== 'string' || !value.startsWith(word)) {
      throw new Error(`"${word}" was expected, not "${String(value)}"`)
    }
    return value.split(' ').slice(1)
  }
  async end(): Promise<void> {
    this.child.stdin!.end()
    await this.exited
  }
}

const meminfo = (name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))![1]) *
  1024

/** Tasks that the kernel's killer has killed: in the group, or in the whole machine. */
function kernelKills(dir: string | undefined): number {
  const file =
    dir === undefined
      ? '/proc/vmstat'
      : join(dir, version === 1 ? 'memory.oom_control' : 'memory.events')
  return Number(/^oom_kill (\d+)/m.exec(readFileSync(file, 'utf8'))![1])
}

/** A child of this process may be killed, which itself may not. */
const forgiven = (pid: number) => writeFileSync(`/proc/${pid}/oom_score_adj`, '0')

/** Where the groups are made: in the lab where such daemons look for their victims. */
function groups(b: Bench): string {
  if (!inLab) return scratch(b, undefined, 600)
  const slice = join(mount, 'system.slice')
  for (const dir of [slice, join(mount, 'user.slice')]) mkdirSync(dir, { recursive: true })
  write(slice, 'cgroup.subtree_control', '+memory')
  return slice
}

function made(parent: string, name: string, max?: number): string {
  const dir = join(parent, name)
  mkdirSync(dir)
  if (max !== undefined) limit(dir, max)
  return dir
}

interface Outcome {
  scenario: string
  /** Who acted: the kernel's killer, or the contender. */
  actor: string
  /** From the peak of what was used until half of it was free. */
  ms: number | undefined
  /** Of the limit, or of the machine's memory and swap. */
  peakPercent: number
  jobKilled: number
  jobProcesses: number
  serviceKilled: boolean
}

async function guarded(dir: string): Promise<Lines> {
  const file = fileURLToPath(new URL('lib/race-guard.js', import.meta.url))
  const guard = Lines.start(process.execPath, file, dir)
  forgiven(guard.child.pid!)
  await guard.hear('armed')
  return guard
}

async function run(parent: string, scenario: Scenario): Promise<Outcome> {
  const service = made(parent, 'service')
  const hog = await Hog.start(service)
  forgiven(hog.pid)
  await hog.fill(scenario.max === undefined ? SERVICE_BYTES : 16 * MiB)
  // The library acts at a group's limit: whoever uses it gives the job one.
  const own = CONTENDER === 'library' ? Math.floor(meminfo('MemAvailable') * 0.6) : undefined
  const max = scenario.max ?? own
  const job = made(parent, 'job', max)
  const guard = CONTENDER === 'library' ? await guarded(job) : undefined
  await sleep(1000)
  const counted = scenario.max === undefined ? undefined : job
  const killsBefore = kernelKills(counted)
  const watched = scenario.max === undefined ? 'machine' : join(job, USAGE)
  const watcher = Lines.start(RACE, 'watch', watched)
  await watcher.hear('watching')
  const { processes, rate } = scenario
  const racer = Lines.start(RACE, 'job', job, String(processes), String(rate))
  await racer.hear('running')
  const late = setTimeout(() => {
    watcher.child.stdin!.write('stop\n')
    racer.child.stdin!.end()
  }, PATIENCE_MS)
  const [peak, least, total, ns] = (await watcher.hear('peak')).map(Number) as [
    number,
    number,
    number,
    number,
  ]
  // What is left of the job may need a moment, or another kill.
  await Promise.race([racer.exited, sleep(processes === 1 ? 15_000 : 2000)])
  clearTimeout(late)
  racer.child.stdin!.end()
  const killed = Number((await racer.hear('ended'))[0])
  const serviceKilled = hog.child.exitCode !== null || hog.child.signalCode !== null
  const kernel = kernelKills(counted) - killsBefore
  await racer.exited
  await guard?.end()
  await hog.end()
  await destroy(job)
  await destroy(service)
  const all = scenario.max ?? 1024 * total + (scenario.swap ?? 0)
  if (process.env.OOM_RACE_VERBOSE) console.log({ peak, least, total, ns, kernel, killed })
  return {
    scenario: scenario.name,
    actor: kernel > 0 ? 'kernel' : killed > 0 || serviceKilled || ns >= 0 ? CONTENDER : 'none',
    ms: ns < 0 ? undefined : ns / 1e6,
    peakPercent: (100 * peak) / all,
    jobKilled: killed,
    jobProcesses: processes,
    serviceKilled,
  }
}

/** A process and those that it has started. */
function household(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc').filter(text => /^\d+$/.test(text))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    } catch {}
  }
  const found = [pid]
  for (const one of found) for (const [child, of] of parents) if (of === one) found.push(child)
  return found
}

/** Processor time in ms and wake-ups so far, of all threads; resident memory in KiB. */
function spent(pids: readonly number[]): { ms: number; woken: number; kib: number } {
  const sum = { ms: 0, woken: 0, kib: 0 }
  for (const pid of pids) {
    for (const tid of readdirSync(`/proc/${pid}/task`)) {
      const at = `/proc/${pid}/task/${tid}`
      sum.ms += Number(readFileSync(`${at}/schedstat`, 'utf8').split(' ')[0]) / 1e6
      sum.woken += Number(
        /^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`${at}/status`, 'utf8'))![1],
      )
    }
    sum.kib += Number(
      /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0,
    )
  }
  return sum
}

const named = (wanted: string): number =>
  Number(
    readdirSync('/proc').find(
      name =>
        /^\d+$/.test(name) &&
        existsSync(`/proc/${name}/comm`) &&
        readFileSync(`/proc/${name}/comm`, 'utf8').trim() === wanted,
    ),
  )

async function idle(parent: string): Promise<object | undefined> {
  if (CONTENDER === 'kernel') return undefined
  const job = made(parent, 'job', 256 * MiB)
  const guard = CONTENDER === 'library' ? await guarded(job) : undefined
  const pid = guard?.child.pid ?? daemon?.pid ?? named(CONTENDER)
  await sleep(5000)
  const from = spent(household(pid))
  await sleep(IDLE_MS)
  const to = spent(household(pid))
  await guard?.end()
  await destroy(job)
  const each = (now: number, then: number) => ((now - then) * 1000) / IDLE_MS
  return { cpuMs: each(to.ms, from.ms), woken: each(to.woken, from.woken), kib: to.kib }
}

let daemon: ChildProcess | undefined

await measure(`race: ${CONTENDER}`, async b => {
  if (!inLab && !['kernel', 'library'].includes(CONTENDER)) throw new Error('for the lab alone')
  const parent = groups(b)
  // Those that kill are not to take the one that looks.
  if (inLab) writeFileSync('/proc/self/oom_score_adj', '-1000')
  const command = DAEMONS[CONTENDER]
  if (command) {
    const [file, ...args] = command as [string, ...string[]]
    daemon = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    forgiven(daemon.pid!)
    b.teardown(async () => void daemon!.kill('SIGKILL'))
    await sleep(5000)
    if (daemon.exitCode !== null) throw new Error(`${file} has ended: ${daemon.exitCode}`)
  }
  if (PART !== 'scenarios') b.note(`figures: ${JSON.stringify({ idle: await idle(parent) })}`)
  if (PART === 'idle') return
  for (const scenario of inLab ? [GROUP, ...MACHINE] : [GROUP]) {
    if (scenario.swap) swapOn(b, scenario.swap)
    for (let i = 0; i < (scenario.once ? 1 : ROUNDS); i++) {
      b.note(`figures: ${JSON.stringify(await run(parent, scenario))}`)
      await sleep(PAUSE_MS)
    }
  }
  if (inLab) return
  if (existsSync(parent) && readdirSync(parent).length === 0) rmdirSync(parent)
})
