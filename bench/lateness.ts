// How late the deadline of a guard is kept while the event loop is blocked, next to a C program that
// waits for a timerfd of the same delay at the same time.
import { MemoryGroup, type OomEpisode } from 'cgroup-oom'
import { Hog } from '../test/helpers/hog.js'
import { MiB } from '../test/helpers/memory-files.js'
import { scratch } from '../test/helpers/scratch.js'
import { Talker } from './lib/programs.js'
import { measure, SHORT } from './lib/run.js'
import { median, ms, p99 } from './lib/stats.js'

const EPISODES = SHORT ? 30 : 100
const DELAY_MS = 50
const BLOCKED_MS = DELAY_MS + 30

function block(forMs: number): void {
  const until = performance.now() + forMs
  while (performance.now() < until);
}

await measure('lateness: the deadline with the event loop blocked', async b => {
  const dir = scratch(b, 8 * MiB, 180)
  const group = await MemoryGroup.open(dir)
  b.teardown(() => group.close())
  const guard = await group.guard({ delayMs: DELAY_MS })
  b.teardown(() => guard.dispose())
  const timer = Talker.start('timer')
  b.teardown(() => timer.end())

  const late: number[] = []
  const reported: number[] = []
  const floor: number[] = []
  const episodes = guard[Symbol.asyncIterator]()
  while (late.length < EPISODES) {
    const hog = await Hog.start(dir)
    const killed = hog.fill(16 * MiB).catch(() => {})
    timer.send(String(DELAY_MS * 1e6))
    block(BLOCKED_MS)
    const episode = (await episodes.next()).value as OomEpisode
    const end = await episode.ended
    floor.push(Number(await timer.hear('late')))
    await killed
    await hog.end()
    if (end.outcome !== 'fallback') continue
    late.push(end.lateNs)
    reported.push(...end.steps.map(step => Number(step.at - episode.deadline)))
  }
  b.table([
    [`delay ${DELAY_MS} ms`, 'median', 'p99', 'worst', 'times'],
    ...(
      [
        ['timerfd in C (floor)', floor],
        ['deadline of the episode (lateNs)', late],
        ['deadline to the step of the fallback', reported],
      ] as const
    ).map(([name, values]) => [
      name,
      ms(median(values)),
      ms(p99(values)),
      ms(Math.max(...values)),
      `${values.length}`,
    ]),
  ])
  b.ratio('median', median(late), median(floor), ms)
  b.target(`below 2 ms at p99: ${ms(p99(late))}`, p99(late) < 2e6)
})
