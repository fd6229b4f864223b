// The hold by signals: how far past the line a group gets that is filled as fast as it goes, and how often the
// kernel is first. What the default band is derived from (native/core/rules/signal_line.cc).
//
// Under several kernels: node scripts/bench-band.mjs. OOM_BAND_ROUNDS: of each row; default 50, 10 in the short form.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { MemoryGroup } from 'cgroup-oom'
import { compiled } from '../test/helpers/compile.js'
import { killsIn, MiB, USAGE } from '../test/helpers/memory-files.js'
import { scratch } from '../test/helpers/scratch.js'
import { measure, SHORT } from './lib/run.js'
import { median } from './lib/stats.js'

const LIMIT = 512 * MiB
const ROUNDS = Number(process.env.OOM_BAND_ROUNDS ?? (SHORT ? 10 : 50))
const BAND = 32 * MiB

interface Load {
  name: string
  jobs: number
  command: string
}

const LOADS: Load[] = [
  { name: '1 process', jobs: 1, command: 'fill' },
  { name: '1 process, huge pages', jobs: 1, command: 'huge' },
  { name: '4 processes', jobs: 4, command: 'fill' },
  { name: '16 processes', jobs: 16, command: 'fill' },
]

async function job(dir: string): Promise<ChildProcess> {
  const child = spawn(compiled('hog'), [dir], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.on('error', () => {})
  await once(child.stdout, 'data')
  return child
}

/** One round: bytes past the line when all stand still, or undefined where the kernel has killed first. */
async function round(dir: string, { jobs, command }: Load): Promise<number | undefined> {
  const group = await MemoryGroup.open(dir)
  const guard = await group.guard({
    delayMs: 60_000,
    hold: { by: 'signals', band: BAND },
    guardian: false,
  })
  const children = await Promise.all(Array.from({ length: jobs }, () => job(dir)))
  const before = killsIn(dir)
  const stopped = () =>
    children.every(({ pid }) => {
      try {
        return /[TZ]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)![0]!)
      } catch {
        return true
      }
    })
  for (const { stdin } of children) stdin!.write(`${command} ${2 * LIMIT}\n`)
  let past: number | undefined
  for await (const episode of guard) {
    while (!stopped()) await new Promise(setImmediate)
    const usage = Number(readFileSync(join(dir, USAGE), 'utf8'))
    if (killsIn(dir) === before) past = usage - (LIMIT - BAND)
    await episode.kill('all').catch(() => [])
    await episode.ended
    break
  }
  await guard.dispose()
  for (const child of children) {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  await group.close()
  return past
}

await measure(
  `band: a group of ${LIMIT / MiB} MiB held by signals ${BAND / MiB} MiB below its limit, ${availableParallelism()} processors`,
  async b => {
    const rows: string[][] = [['load', 'median past the line', 'p90', 'most', 'kernel first']]
    let first = 0
    let all = 0
    for (const load of LOADS) {
      const dir = scratch(b, LIMIT, 3600)
      const past: number[] = []
      let lost = 0
      for (let i = 0; i < ROUNDS; i++) {
        const bytes = await round(dir, load)
        if (bytes === undefined) lost++
        else past.push(Math.max(0, bytes))
      }
      past.sort((a, c) => a - c)
      const mib = (bytes = NaN) => `${(bytes / MiB).toFixed(1)} MiB`
      rows.push([
        load.name,
        mib(past.length > 0 ? median(past) : NaN),
        mib(past[Math.floor(past.length * 0.9)]),
        mib(past.at(-1)),
        `${lost} of ${ROUNDS}`,
      ])
      if (load.jobs === 1) {
        first += lost
        all += ROUNDS
      }
    }
    b.table(rows)
    b.target(
      `one job at full speed: the kernel is first at most 1 time in 1,000 (${first} of ${all})`,
      first * 1000 <= all,
    )
  },
)
