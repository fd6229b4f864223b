// The order of what happened to a job.
import t from 'tap'
import { Timeline } from '../../lib/job/timeline.js'
import type { ExitReport } from '../../lib/index.js'

const ms = (n: number): bigint => BigInt(n) * 1_000_000n
const report = (by: NonNullable<ExitReport['by']>): ExitReport => ({
  ...{ oom: 'yes', by, code: null, signal: 'SIGKILL', kernelKills: 1, killed: [], episodes: 0 },
  summary: 'ended by SIGKILL',
})
const of = (timeline: Timeline) => timeline.entries.map(({ event, atMs }) => [event, atMs])

t.test("the kernel's kill stands before the end, also where it was seen later", async t => {
  const timeline = new Timeline(ms(100))
  timeline.add('started', 'it runs', ms(100))
  timeline.end(report('kernel'), ms(130))
  timeline.add('killed', 'the kernel killed 1 task', ms(180))
  timeline.add('out-of-memory', 'out of memory, once', ms(120))
  t.strictSame(of(timeline), [
    ['started', 0],
    ['out-of-memory', 20],
    ['killed', 30],
    ['ended', 30],
  ])
})

t.test(
  'where another killed the job, one of the kernel after it is of what the job left',
  async t => {
    const timeline = new Timeline(ms(100))
    timeline.end(report('other'), ms(130))
    timeline.add('killed', 'the kernel killed 1 task', ms(180))
    t.strictSame(of(timeline), [
      ['ended', 30],
      ['killed', 80],
    ])
  },
)
