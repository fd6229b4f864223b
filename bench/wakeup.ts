// The sentinel's wake-up against a bare C read() loop, both notified by the kernel of the same OOM.
//
// In blocks of OOMs: sentinel and C program, or, as a control of the method, two C programs. Which of
// the two registers first is drawn by lot for each block, since the kernel wakes them one after the
// other. Times are the `at` of the watch's events and what the C program took on its return from read().
import { MemoryGroup } from 'cgroup-oom'
import { underOom } from '../test/helpers/memory-files.js'
import { until } from '../test/helpers/scratch.js'
import { Talker } from './lib/programs.js'
import { measure, SHORT, type Bench } from './lib/run.js'
import { Starver } from './lib/starver.js'
import { median, p99, shuffled, signed, us } from './lib/stats.js'

const BLOCKS = SHORT ? 6 : 24
const OOMS = 20

/** A program that is notified of OOMs; `times` ends it. */
interface Listener {
  times(): Promise<number[]>
}

async function listenInC(dir: string): Promise<Listener> {
  const listener = Talker.start('listener', dir)
  await listener.hear('armed')
  return {
    async times() {
      listener.child.kill('SIGTERM')
      return (await listener.rest()).map(line => Number(line.split(' ')[0]))
    },
  }
}

async function listenWithSentinel(dir: string): Promise<Listener> {
  const group = await MemoryGroup.open(dir)
  const watch = group.watch()
  const times: number[] = []
  const consumed = (async () => {
    for await (const event of watch) if (event.type === 'oom') times.push(Number(event.at))
  })()
  return {
    async times() {
      await watch.return()
      await consumed
      await group.close()
      return times
    },
  }
}

/** Nanoseconds from the fault to each one's wake-up, by OOM, where both were woken once. */
async function block(
  starver: Starver,
  first: (dir: string) => Promise<Listener>,
  second: (dir: string) => Promise<Listener>,
): Promise<[number, number][]> {
  const listeners: Listener[] = []
  const order = shuffled([0, 1])
  for (const i of order) listeners[i] = await [first, second][i]!(starver.dir)
  const faults: number[] = []
  for (let i = 0; i < OOMS; i++) {
    starver.starve()
    await until(() => underOom(starver.dir))
    await starver.relieve()
    faults.push(await starver.hog.stalledAt())
  }
  const [a, b] = [await listeners[0]!.times(), await listeners[1]!.times()]
  return faults.flatMap((from, i) => {
    const within = (times: number[]) => times.filter(at => at > from && !(at > faults[i + 1]!))
    const [one, other] = [within(a), within(b)]
    return one.length === 1 && other.length === 1 ? [[one[0]! - from, other[0]! - from]] : []
  })
}

await measure(
  'wakeup: the sentinel against a bare C read() loop, on the same OOM',
  async (b: Bench) => {
    const starver = await Starver.create(b)
    const pairs: [sentinel: number, c: number][] = []
    const control: [number, number][] = []
    for (let i = 0; i < BLOCKS / 2; i++) {
      pairs.push(...(await block(starver, listenWithSentinel, listenInC)))
      control.push(...(await block(starver, listenInC, listenInC)))
    }
    const row = (name: string, values: number[], text = us) => [
      name,
      text(median(values)),
      text(p99(values)),
      String(values.length),
    ]
    const [sentinel, c] = [pairs.map(([s]) => s), pairs.map(([, c]) => c)]
    const more = (list: [number, number][]) => list.map(([one, other]) => one - other)
    b.table([
      ['from the fault to …', 'median', 'p99', 'OOMs'],
      row('bare C read() loop (floor)', c),
      row('sentinel', sentinel),
      row('sentinel - C, by OOM', more(pairs), ns => signed(us(ns))),
      row('C - another C, by OOM (control)', more(control), ns => signed(us(ns))),
    ])
    b.ratio('median', median(sentinel), median(c), us)
    const extra = median(sentinel) - median(c)
    b.target(
      `at most +10 µs at the median: ${signed(us(extra))} (by OOM ${signed(us(median(more(pairs))))})`,
      extra <= 10_000,
    )
  },
)
