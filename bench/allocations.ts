// What the sentinel and its helpers do to memory while groups run out of it: calls of the allocator,
// mmap and brk, and page faults. Both are counted from outside the code that is measured: by a library
// in front of the C library's (bench/native/count_malloc.c), read through shared memory, and by the
// kernel (/proc/PID/task/TID/stat). The measured process is bench/lib/subject.ts; it runs the jobs itself,
// or forks beside them, since what is shared with a child has to be copied at the next write.
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MiB, underOom } from '../test/helpers/memory-files.js'
import { until } from '../test/helpers/scratch.js'
import { faults, nameOf, threads } from './lib/proc.js'
import { countMalloc } from './lib/programs.js'
import { measure, type Bench } from './lib/run.js'
import { Starver } from './lib/starver.js'
import type { Errand, Order } from './lib/subject.js'

const EPISODES = 100
const EVENTS = 1000
const TABLE_BYTES = 64 * 1024
const CALLS = ['malloc', 'calloc', 'realloc', 'free', 'aligned', 'map']

class Subject {
  private constructor(
    readonly child: ChildProcess,
    readonly table: string,
  ) {}

  static async start(b: Bench, order: Order): Promise<Subject> {
    const dir = mkdtempSync(join(tmpdir(), 'cgroup-oom-bench-'))
    const table = join(dir, 'counts')
    const fd = openSync(table, 'w')
    ftruncateSync(fd, TABLE_BYTES)
    closeSync(fd)
    const child = fork(fileURLToPath(new URL('lib/subject.js', import.meta.url)), {
      env: { ...process.env, LD_PRELOAD: countMalloc(), COUNT_MALLOC_FILE: table },
    })
    b.teardown(async () => {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      rmSync(dir, { recursive: true })
    })
    const subject = new Subject(child, table)
    child.send(order)
    await subject.hear('armed')
    return subject
  }

  send(errand: Errand): void {
    this.child.send(errand)
  }

  async hear(word: string): Promise<void> {
    for (;;) {
      const [message] = (await once(this.child, 'message')) as [unknown]
      if (message === word) return
    }
  }

  /** Of each native thread of the library, and of the main thread: calls and faults so far. */
  counts(): Map<number, Counts> {
    const words = new BigUint64Array(readFileSync(this.table).buffer)
    const slots = new Map<number, number[]>()
    for (let i = 8; i < words.length; i += 8) {
      slots.set(Number(words[i]), Array.from(words.subarray(i + 1, i + 1 + CALLS.length), Number))
    }
    const pid = this.child.pid!
    return new Map(
      threads(pid).map(tid => {
        const calls = slots.get(tid) ?? CALLS.map(() => 0)
        return [tid, { name: nameOf(pid, tid), main: tid === pid, calls, ...faults(pid, tid) }]
      }),
    )
  }
}

interface Counts {
  name: string
  main: boolean
  calls: number[]
  minor: number
  major: number
}

const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)

/** Counts before and after `act`; the threads that matter must have done nothing. */
async function counted(
  b: Bench,
  subject: Subject,
  what: string,
  act: () => Promise<void>,
): Promise<void> {
  const before = subject.counts()
  await act()
  const rows = [...subject.counts()].flatMap(([tid, now]) => {
    const then = before.get(tid)
    if (!then || !(now.main || now.name.startsWith('oom-'))) return []
    const calls = now.calls.map((count, i) => count - then.calls[i]!)
    return [{ ...now, calls, minor: now.minor - then.minor, major: now.major - then.major }]
  })
  b.table([
    [what, ...CALLS, 'minor faults', 'major faults'],
    ...rows.map(row => [
      row.main ? 'main thread (for comparison)' : row.name,
      ...row.calls.map(String),
      `${row.minor}`,
      `${row.major}`,
    ]),
  ])
  const ours = rows.filter(row => !row.main)
  const calls = sum(ours.flatMap(row => row.calls))
  const hits = sum(ours.map(row => row.minor + row.major))
  const there = ours.some(row => row.name === 'oom-sentinel')
  const main = sum(rows.filter(row => row.main).flatMap(row => row.calls))
  if (!there || main === 0) throw new Error('nothing was counted')
  b.target(`no call, no fault: ${calls} and ${hits}`, calls === 0 && hits === 0)
}

await measure('allocations: the sentinel and its helpers, counted from outside', async b => {
  await episodes(b)
  await headroom(b)
  await events(b)
})

/** The deadline passes, the kernel kills. */
async function episodes(b: Bench): Promise<void> {
  const starver = await Starver.create(b, false)
  const subject = await Subject.start(b, { dir: starver.dir, options: { delayMs: 20 } })
  await starver.hog.end()
  await counted(b, subject, `${EPISODES} episodes, fallback`, async () => {
    for (let i = 0; i < EPISODES; i++) {
      const ended = subject.hear('fallback')
      subject.send({ errand: 'job', bytes: 8 * MiB })
      await ended
    }
  })
}

/** The plan raises the limit by headroom, the group frees memory, a helper restores the limit. */
async function headroom(b: Bench): Promise<void> {
  const starver = await Starver.create(b, false)
  const subject = await Subject.start(b, {
    dir: starver.dir,
    options: {
      delayMs: 2000,
      reserve: { headroom: '8M' },
      plan: [{ afterMs: 0, action: 'headroom' }],
    },
  })
  await counted(b, subject, `${EPISODES} episodes, headroom`, async () => {
    for (let i = 0; i < EPISODES; i++) {
      const ended = subject.hear('plan')
      subject.send({ errand: 'true' })
      await starver.hog.fill(8 * MiB)
      await starver.hog.free()
      await ended
    }
  })
}

/** A watch alone; another process raises the limit. */
async function events(b: Bench): Promise<void> {
  const starver = await Starver.create(b)
  const subject = await Subject.start(b, { dir: starver.dir })
  await counted(b, subject, `${EVENTS} watch events`, async () => {
    for (let i = 0; i < EVENTS; i++) {
      const reported = subject.hear('oom')
      subject.send({ errand: 'true' })
      starver.starve()
      await until(() => underOom(starver.dir))
      await reported
      await starver.relieve()
    }
  })
}
