// The hold of cgroup v2: how soon it stops a group that fills up, what gets through until then, how
// late the fallback is, how long throttling alone holds, and what it costs a load of page cache. Lines
// of figures for this kernel; scripts/bench-hold.mjs makes the table of several, in the lab.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup, type GuardOptions, type OomEpisode, type OomGuard } from 'cgroup-oom'
import { compiled } from '../test/helpers/compile.js'
import { diskDir } from '../test/helpers/disk.js'
import { high } from '../test/helpers/hold.js'
import { Hog } from '../test/helpers/hog.js'
import { field, MiB, version } from '../test/helpers/memory-files.js'
import { scratch } from '../test/helpers/scratch.js'
import { measure, type Bench } from './lib/run.js'
import { median, medianWithin } from './lib/stats.js'

const LIMIT = 64 * MiB
const ROUNDS = Number(process.env.OOM_HOLD_ROUNDS ?? 10)
const BANDS = [1, 3, 6, 12, 25]
const PAIRS = Number(process.env.OOM_HOLD_PAIRS ?? 40)
const SLICE_MS = 1000
const PATIENCE_MS = Number(process.env.OOM_HOLD_PATIENCE_MS ?? 20_000)

interface Held {
  dir: string
  guard: OomGuard
  hog: Hog
  episode: Promise<OomEpisode>
  end: () => Promise<void>
}

/** A guarded group and a process that fills it without end. */
async function held(b: Bench, options: GuardOptions): Promise<Held> {
  const dir = scratch(b, LIMIT, 300)
  const group = await MemoryGroup.open(dir)
  const guard = await group.guard(options)
  const hog = await Hog.start(dir)
  const episodes = guard[Symbol.asyncIterator]()
  return {
    dir,
    guard,
    hog,
    episode: episodes.next().then(({ value }) => value as OomEpisode),
    async end() {
      await guard.dispose()
      await hog.end()
      await group.close()
    },
  }
}

/** From the line being passed to all members being stopped, and what was taken meanwhile. */
async function stopping(b: Bench): Promise<{ ms: number; bytes: number }> {
  const { dir, hog, end } = await held(b, { delayMs: 60_000, hold: { freeze: 'always' } })
  const line = high(dir)
  const usage = openSync(join(dir, 'memory.current'), 'r')
  const buffer = Buffer.alloc(32)
  const used = () => Number(buffer.toString('latin1', 0, readSync(usage, buffer, 0, 32, 0)))
  hog.fill(4 * LIMIT).catch(() => {})
  while (used() <= line) await turn()
  const began = performance.now()
  while (field(dir, 'cgroup.events', 'frozen') === 0) await turn()
  const figures = { ms: performance.now() - began, bytes: used() - line }
  closeSync(usage)
  await end()
  return figures
}

async function lateness(b: Bench): Promise<number> {
  const { hog, episode, end } = await held(b, { delayMs: 300 })
  hog.fill(4 * LIMIT).catch(() => {})
  const { lateNs } = await (await episode).ended
  await end()
  return lateNs / 1e6
}

/** How long a group lives that is only throttled; undefined: longer than the measurement waited. */
async function throttling(b: Bench, percent: number): Promise<number | undefined> {
  const band = Math.round((LIMIT * percent) / 100)
  const options = { delayMs: 10 * PATIENCE_MS, hold: { band, freeze: 'never' } } as const
  const { hog, episode, end } = await held(b, options)
  hog.fill(4 * LIMIT).catch(() => {})
  // A thin band is passed before any process is notified.
  await Promise.race([episode, hog.exited])
  const began = performance.now()
  const patience = setTimeout(() => hog.child.kill('SIGTERM'), PATIENCE_MS)
  const [, signal] = await hog.exited
  clearTimeout(patience)
  await end()
  return signal === 'SIGKILL' ? performance.now() - began : undefined
}

interface Pair {
  held: number
  free: number
}

/**
 * How fast a load of page cache goes, held and not, in bytes a millisecond: pairs of slices right after
 * each other in one group and one process, in turns the one or the other first. The machine's ups and
 * downs last longer than a pair.
 */
async function cacheLoad(b: Bench, disk: string, mode: 'r' | 'rw'): Promise<Pair[]> {
  const dir = scratch(b, LIMIT, 600)
  const group = await MemoryGroup.open(dir)
  const counter = join(disk, 'counter')
  writeFileSync(counter, Buffer.alloc(8))
  const mib = (4 * LIMIT) / MiB
  const args = [dir, join(disk, 'load'), String(mib), counter, mode]
  const load = spawn(compiled('cacheload'), args, { stdio: 'inherit' })
  const file = openSync(counter, 'r')
  const done = Buffer.alloc(8)
  const bytes = () => (readSync(file, done, 0, 8, 0), Number(done.readBigUInt64LE()))
  while (bytes() < 2 * mib * MiB) await sleep(100)

  async function rate(guarded: boolean): Promise<number> {
    const guard = guarded ? await group.guard({ delayMs: 1000 }) : undefined
    await sleep(SLICE_MS / 5)
    const [from, began] = [bytes(), performance.now()]
    await sleep(SLICE_MS)
    const speed = (bytes() - from) / (performance.now() - began)
    if (guard && guard.stats.episodes > 0) throw new Error('an episode')
    await guard?.dispose()
    return speed
  }
  const pairs: Pair[] = []
  for (let i = 0; i < PAIRS; i++) {
    const first = await rate(i % 2 === 0)
    const second = await rate(i % 2 !== 0)
    pairs.push(i % 2 === 0 ? { held: first, free: second } : { held: second, free: first })
  }
  if (field(dir, 'memory.events', 'high') === 0) throw new Error('the line was never passed')
  if (load.exitCode !== null) throw new Error('the load has ended')
  load.kill('SIGKILL')
  await once(load, 'exit')
  closeSync(file)
  await group.close()
  return pairs
}

async function holding(b: Bench): Promise<object> {
  const stops = []
  for (let i = 0; i < ROUNDS; i++) stops.push(await stopping(b))
  const late: number[] = []
  for (let i = 0; i < ROUNDS; i++) late.push(await lateness(b))
  const alone: Record<string, number | undefined> = {}
  for (const percent of BANDS) alone[`${percent} %`] = await throttling(b, percent)
  const middleAndWorst = (values: readonly number[]) => [median(values), Math.max(...values)]
  return {
    stopMs: middleAndWorst(stops.map(s => s.ms)),
    throughKiB: middleAndWorst(stops.map(s => s.bytes / 1024)),
    lateMs: middleAndWorst(late),
    throttledMs: alone,
  }
}

async function cache(b: Bench): Promise<object> {
  const disk = diskDir(b)
  if (disk === undefined) return {}
  const losses = (await cacheLoad(b, disk, 'r')).map(({ held, free }) => 1 - held / free)
  const pairs = await cacheLoad(b, disk, 'rw')
  // Without a hold it waits for the disk now and then for most of a slice: the whole counts.
  const whole = (part: keyof Pair) =>
    pairs.reduce((sum, pair) => sum + pair[part], 0) / PAIRS / 1000
  const readWrite = { held: whole('held'), free: whole('free') }
  const loss = {
    reading: median(losses),
    'reading and writing': 1 - readWrite.held / readWrite.free,
  }
  for (const [what, part] of Object.entries(loss)) {
    b.target(`at most 5 % lost, ${what}: ${(part * 100).toFixed(1)} %`, part <= 0.05)
  }
  const readLossPercent = [median(losses), ...medianWithin(losses)].map(part => part * 100)
  return { readLossPercent, readWriteMBs: [readWrite.held, readWrite.free] }
}

// Each has a machine of its own in the lab: OOM_HOLD_PART.
const PARTS = { holding, cache }

if (version === 1) {
  console.log('hold: cgroup v1 has none')
} else {
  await measure('hold: cgroup v2', async b => {
    for (const [name, part] of Object.entries(PARTS)) {
      if ((process.env.OOM_HOLD_PART ?? name) !== name) continue
      b.note(`figures: ${JSON.stringify(await part(b))}`)
    }
  })
}
