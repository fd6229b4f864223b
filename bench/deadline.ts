// Very many groups at one deadline: how long until the last one is through, next to a bare loop that enables the
// killers of as many groups; the two take turns. Both times the same program looks (native/deadline.c). What
// the kernel takes for one write with many waiters, and how many it kills a second, is measured beside it.
//
//   OOM_DEADLINE_QUIET=1   all once more with the kernel's reports kept off the console (dmesg -n 3; for the time
//                          of the measurement, and for the whole machine)
import { MemoryGroup } from 'cgroup-oom'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Hog } from '../test/helpers/hog.js'
import { MiB } from '../test/helpers/memory-files.js'
import { child, destroy, scratch } from '../test/helpers/scratch.js'
import { Talker } from './lib/programs.js'
import { measure, SHORT, type Bench } from './lib/run.js'
import { median, ms, shuffled, us } from './lib/stats.js'

const COUNT = 1000
const ROUNDS = SHORT ? 2 : 6
const DELAY_MS = 500
const QUIET = process.env.OOM_DEADLINE_QUIET === '1'
/** Every killer is enabled from outside after that time. */
const KEEP_SECONDS = 120

interface Through {
  /** Nanoseconds until the last one was through. */
  last: number
  /** Of the loop: all of it, and its longest write. */
  loop: number
  write: number
  /** How many were through at the first look. */
  first: number
}

async function through(watcher: Talker, command: string): Promise<Through> {
  watcher.send(command)
  const words = (await watcher.hear('through')).split(' ').map(Number)
  const [last, loop, write, first] = words as [number, number, number, number]
  return { last, loop, write, first }
}

/** `count` groups, each filled beyond its limit, that wait for `release` to have their killers enabled. */
async function round(
  b: Bench,
  count: number,
  hold: (dir: string, watcher: Talker) => Promise<() => Promise<void>>,
  release: (watcher: Talker) => Promise<Through>,
): Promise<Through> {
  const dir = scratch(b, undefined, KEEP_SECONDS)
  for (let i = 0; i < count; i++) child(dir, String(i), MiB)
  const watcher = Talker.start('deadline', dir, String(count))
  const end = await hold(dir, watcher)
  const hog = await Hog.start()
  try {
    await hog.crowd(dir, count, 2 * MiB)
    watcher.send('starved')
    await watcher.hear('starved')
    return await release(watcher)
  } finally {
    await end()
    await watcher.end()
    await hog.end()
    await destroy(dir)
  }
}

const bare = (b: Bench, count: number): Promise<Through> =>
  round(
    b,
    count,
    async (_, watcher) => {
      watcher.send('hold')
      await watcher.hear('held')
      return async () => {}
    },
    watcher => through(watcher, 'enable'),
  )

type Fallback = 'kernel' | 'kill-largest'

interface Guarded extends Through {
  /** The latest fallback of the sentinel's. */
  late: number
  /** How many groups the guardian has released: those that the sentinel had not after 100 ms. */
  guardian: number
}

async function library(b: Bench, fallback: Fallback): Promise<Guarded> {
  let setDelay: () => void
  let late = 0
  let guardian = 0
  const result = await round(
    b,
    COUNT,
    async dir => {
      const group = await MemoryGroup.open(dir)
      const guard = await group.guard({ delayMs: 300_000, maxDelayMs: 600_000, fallback })
      setDelay = () => guard.setDelay(DELAY_MS)
      return async () => {
        late = guard.stats.worstLateNs
        guardian = guard.stats.byOutcome.guardian
        await guard.dispose()
        await group.close()
      }
    },
    async watcher => {
      const deadline = process.hrtime.bigint() + BigInt(DELAY_MS) * 1_000_000n
      setDelay()
      return through(watcher, `look ${deadline}`)
    },
  )
  return { ...result, late, guardian }
}

/** One line of the kernel's report is of this level (KERN_ERR): the console has it where its own is higher. */
const REPORT = 3

const consoleLevel = (): number =>
  Number(readFileSync('/proc/sys/kernel/printk', 'utf8').split('\t')[0])

function setConsole(b: Bench, level: number): void {
  const before = consoleLevel()
  execFileSync('dmesg', ['-n', String(level)])
  b.teardown(async () => void execFileSync('dmesg', ['-n', String(before)]))
}

async function compare(b: Bench, suffix: string): Promise<void> {
  const loops: Through[] = []
  const guards: Record<Fallback, Guarded[]> = {
    kernel: [],
    'kill-largest': [],
  }
  for (let i = 0; i < ROUNDS; i++) {
    for (const how of shuffled(['loop', 'kernel', 'kill-largest'] as const)) {
      if (how === 'loop') loops.push(await bare(b, COUNT))
      else guards[how].push(await library(b, how))
    }
  }
  const row = (name: string, list: readonly number[]) => [
    name,
    ms(median(list)),
    ms(Math.min(...list)),
    ms(Math.max(...list)),
  ]
  const last = (list: readonly Through[]) => list.map(one => one.last)
  const floor = last(loops)
  b.table([
    [`the last one is through${suffix}`, 'median', 'best', 'worst'],
    row('bare loop (floor)', floor),
    row("one guard, fallback 'kernel'", last(guards.kernel)),
    row("one guard, fallback 'kill-largest'", last(guards['kill-largest'])),
  ])
  b.table([
    ['of that', 'median', 'best', 'worst'],
    row(
      'the loop alone',
      loops.map(one => one.loop),
    ),
    row(
      'its longest write',
      loops.map(one => one.write),
    ),
    row(
      "the sentinel's latest fallback, 'kernel'",
      guards.kernel.map(one => one.late),
    ),
    row(
      "the sentinel's latest fallback, 'kill-largest'",
      guards['kill-largest'].map(one => one.late),
    ),
  ])
  b.note(`through when the loop was done: ${median(loops.map(one => one.first))} of ${COUNT}`)
  for (const [fallback, list] of Object.entries(guards)) {
    const byGuardian = list.map(one => one.guardian)
    b.note(
      `'${fallback}': ${median(byGuardian)} of ${COUNT} were released by the guardian, ${Math.max(...byGuardian)} at most`,
    )
    const found = last(list)
    // Not for the gate: the floor is six times as long where the kernel's report goes to a serial console.
    b.ratio(`'${fallback}', median${suffix}`, median(found), median(floor), ms, false)
    b.ratio(`'${fallback}', worst${suffix}`, Math.max(...found), Math.max(...floor), ms, false)
    b.target(
      `${fallback}: at most 0.5 times the bare loop, at the worst`,
      Math.max(...found) <= 0.5 * Math.max(...floor),
    )
  }
}

/** What the kernel takes by itself, the fewer wait the less. */
async function rates(b: Bench): Promise<void> {
  const rows = [['bare loop over', 'a write', 'a group, until all are through']]
  for (const count of [10, 100, 300, 1000]) {
    const each: Through[] = []
    for (let i = 0; i < 5; i++) each.push(await bare(b, count))
    rows.push([
      `${count} groups`,
      us(median(each.map(one => one.loop / count))),
      us(median(each.map(one => one.last / count))),
    ])
  }
  b.table(rows)
}

await measure(`deadline: ${COUNT} groups at one deadline`, async b => {
  const level = consoleLevel()
  b.note(
    `console's log level ${level}: the report of each kill goes ${level > REPORT ? '' : 'not '}to it`,
  )
  await compare(b, '')
  if (!SHORT) await rates(b)
  if (!QUIET) return
  setConsole(b, REPORT)
  await compare(b, ', quiet console')
  await rates(b)
})
