// The hold by signals: how far past the line a group gets that is filled as fast as it goes, and how often the
// kernel is first. What the default band is derived from (native/core/rules/signal_line.cc).
//
// Under several kernels: node scripts/bench-band.mjs. OOM_BAND_ROUNDS: of each row; default 50, 10 in the short form.
// OOM_BAND_LOADS: names of loads, with commas.
//
// Each row is a process of its own, since half a processor is for guard and jobs together, as in a container.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup, type OomEpisode } from 'cgroup-oom'
import { compiled } from '../test/helpers/compile.js'
import { killsIn, MiB, mount, read, USAGE, version, write } from '../test/helpers/memory-files.js'
import { child, plainChild, scratch } from '../test/helpers/scratch.js'
import { boundForks, twin } from '../test/helpers/twin.js'
import { Bench, measure, SHORT } from './lib/run.js'
import { median } from './lib/stats.js'

const LIMIT = 512 * MiB
const ROUNDS = Number(process.env.OOM_BAND_ROUNDS ?? (SHORT ? 10 : 50))
const BAND = 32 * MiB

interface Load {
  name: string
  jobs: number
  command: string
  /** What else there is: a fork bomb in the group, a busy processor, half a processor for all. */
  beside?: 'bomb' | 'busy' | 'quota'
}

const LOADS: Load[] = [
  { name: '1 process', jobs: 1, command: 'fill' },
  { name: '1 process, huge pages', jobs: 1, command: 'huge' },
  { name: '4 processes', jobs: 4, command: 'fill' },
  { name: '16 processes', jobs: 16, command: 'fill' },
  { name: '1 process, a processor busy', jobs: 1, command: 'fill', beside: 'busy' },
  { name: '1 process, half a processor', jobs: 1, command: 'fill', beside: 'quota' },
  { name: '4 processes, half a processor', jobs: 4, command: 'fill', beside: 'quota' },
  { name: '1 process, a fork bomb', jobs: 1, command: 'fill', beside: 'bomb' },
]

interface Row {
  past: number[]
  lost: number
}

async function job(dir: string): Promise<ChildProcess> {
  const child = spawn(compiled('hog'), [dir], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.on('error', () => {})
  await once(child.stdout, 'data')
  child.stdout.on('data', said => {
    if (/^failed/.test(String(said))) throw new Error('the machine is too small to fill the group')
  })
  return child
}

const isStill = (pid: string): boolean => {
  try {
    return /[TZ]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)![0]!)
  } catch {
    return true
  }
}

function kill(pid: string): void {
  try {
    process.kill(Number(pid), 'SIGKILL')
  } catch {}
}

/** A fork bomb in the group, of at most 60 processes. */
async function bomb(b: Bench, dir: string): Promise<ChildProcess> {
  const made = await job(dir)
  boundForks(b, dir, made.pid!, 60)
  made.stdin!.write('bomb\n')
  return made
}

/** One round: bytes past the line when all stand still, or undefined where the kernel has killed first. */
async function round(b: Bench, dir: string, load: Load): Promise<number | undefined> {
  const group = await MemoryGroup.open(dir)
  const guard = await group.guard({
    delayMs: 60_000,
    hold: { by: 'signals', band: BAND },
    guardian: false,
  })
  const jobs = await Promise.all(Array.from({ length: load.jobs }, () => job(dir)))
  const children = load.beside === 'bomb' ? [...jobs, await bomb(b, dir)] : jobs
  const before = killsIn(dir)
  const members = () => read(dir, 'cgroup.procs').split('\n').filter(Boolean)
  for (const { stdin } of jobs) stdin!.write(`${load.command} ${2 * LIMIT}\n`)
  // A busy wait would take what there is of half a processor.
  const turn = () => sleep(1)
  let past: number | undefined
  let begun: IteratorResult<OomEpisode> | undefined
  void guard[Symbol.asyncIterator]()
    .next()
    .then(result => (begun = result))
  // Where the kernel is first there may be no episode.
  while (begun === undefined && killsIn(dir) === before) await turn()
  if (begun?.done === false) {
    while (!members().every(isStill) && killsIn(dir) === before) await turn()
    const usage = Number(readFileSync(join(dir, USAGE), 'utf8'))
    if (killsIn(dir) === before) past = usage - (LIMIT - BAND)
  }
  // What forks meanwhile is met in the next turn.
  for (; members().length > 0; await turn()) members().forEach(kill)
  await guard.dispose()
  for (const child of children) {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  await group.close()
  return past
}

/** The rounds of one load; in a process of their own. */
async function rounds(dir: string, load: Load): Promise<Row> {
  const bench = new Bench()
  const row: Row = { past: [], lost: 0 }
  try {
    for (let i = 0; i < ROUNDS; i++) {
      const bytes = await round(bench, dir, load)
      if (bytes === undefined) row.lost++
      else row.past.push(Math.max(0, bytes))
    }
  } finally {
    await bench.finish()
  }
  row.past.sort((a, c) => a - c)
  return row
}

/** The group of the jobs, and with half a processor the file by which the guarding process joins its own. */
function place(b: Bench, { beside }: Load): { dir: string; procs?: string } {
  if (beside !== 'quota') return { dir: scratch(b, LIMIT, 3600) }
  if (version === 1) {
    const dir = scratch(b, LIMIT, 3600)
    const cpu = twin(b, 'cpu', dir)
    write(cpu, 'cpu.cfs_quota_us', 50_000)
    return { dir, procs: join(cpu, 'cgroup.procs') }
  }
  const both = scratch(b, undefined, 3600)
  for (const at of [mount, dirname(both)]) write(at, 'cgroup.subtree_control', '+cpu')
  write(both, 'cpu.max', '50000 100000')
  return { dir: child(both, 'jobs', LIMIT), procs: join(plainChild(both, 'guard'), 'cgroup.procs') }
}

/** One row, carried out by a process of its own. */
function carryOut(b: Bench, load: Load): Row {
  const { dir, procs } = place(b, load)
  const busy =
    load.beside === 'busy' ? spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }) : null
  const join = procs === undefined ? [] : ['sh', '-c', 'echo $$ > "$0"; exec "$@"', procs]
  const [command, ...args] = [...join, process.execPath, ...process.execArgv, process.argv[1]!]
  const { stdout, status } = spawnSync(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    env: { ...process.env, OOM_BAND_ROW: `${LOADS.indexOf(load)}`, OOM_BAND_DIR: dir },
  })
  busy?.kill('SIGKILL')
  if (status !== 0) throw new Error(`'${load.name}' ended with ${status}`)
  return JSON.parse(stdout) as Row
}

if (process.env.OOM_BAND_ROW !== undefined) {
  const row = await rounds(process.env.OOM_BAND_DIR!, LOADS[Number(process.env.OOM_BAND_ROW)]!)
  console.log(JSON.stringify(row))
  process.exit(0)
}
const wanted = process.env.OOM_BAND_LOADS?.split(',')
const chosen = LOADS.filter(({ name }) => wanted === undefined || wanted.includes(name))

await measure(
  `band: a group of ${LIMIT / MiB} MiB held by signals ${BAND / MiB} MiB below its limit, ${availableParallelism()} processors`,
  async b => {
    let first = 0
    let all = 0
    // A row takes minutes where processors are emulated: each is printed when it is done.
    for (const load of chosen) {
      const { past, lost } = carryOut(b, load)
      const mib = (bytes = NaN) => `${(bytes / MiB).toFixed(1)} MiB`
      const [half, most] = past.length > 0 ? [median(past), past.at(-1)] : []
      b.note(
        `${load.name}: past the line ${mib(half)}, p90 ${mib(past[Math.floor(past.length * 0.9)])}, ` +
          `at most ${mib(most)}; the kernel first ${lost} times of ${ROUNDS}`,
      )
      if (load.jobs === 1 && load.beside === undefined) {
        first += lost
        all += ROUNDS
      }
    }
    b.target(
      `one job at full speed: the kernel is first at most 1 time in 1,000 (${first} of ${all})`,
      first * 1000 <= all,
    )
  },
)
