// The rules of a budget of jobs: pure ones, random ones, and carried out on a simulated group.
import fc from 'fast-check'
import t from 'tap'
import { again, next, Peaks, promised, type Job, type Running } from '../../lib/budget/schedule.js'
import { simulate } from '../../lib/testing.js'

const MiB = 1 << 20
const job = (expect: number, alone = false): Job => ({ expect: expect * MiB, alone })
const running = (expect: number, usage: number, alone = false): Running<Job> => ({
  job: job(expect, alone),
  usage: usage * MiB,
})
const budget = (usage: number, most = 8) => ({ limit: 100 * MiB, usage: usage * MiB, most })

t.test('what is promised: the larger of expectation and usage, and what else is used', async t => {
  t.equal(promised(budget(0), []), 0)
  t.equal(promised(budget(10), []), 10 * MiB, 'nothing but others')
  t.equal(promised(budget(30), [running(20, 5), running(10, 25)]), 45 * MiB)
  t.equal(promised(budget(40), [running(20, 5), running(10, 25)]), 55 * MiB, 'ten of others')
  t.equal(promised(budget(1), [running(20, 5)]), 20 * MiB, 'read at different times: never less')
})

t.test('a job starts when it fits', async t => {
  const first = job(30)
  t.equal(next(budget(10), [first], [running(60, 10)]), first)
  t.equal(next(budget(11), [first], [running(70, 10)]), undefined)
  t.equal(next(budget(11), [first], [running(69, 10)]), first, 'to the byte')
  t.equal(next(budget(0), [], []), undefined)
  t.equal(next(budget(0, 2), [first], [running(1, 0), running(1, 0)]), undefined, 'too many')
})

t.test('a small job does not overtake a large one', async t => {
  t.equal(next(budget(0), [job(90), job(1)], [running(20, 0)]), undefined)
})

t.test('where nothing runs, any job starts', async t => {
  const huge = job(1000)
  t.equal(next(budget(99), [huge], []), huge)
})

t.test('a job that has yielded runs alone', async t => {
  const alone = job(1, true)
  t.equal(next(budget(0), [alone], [running(1, 0)]), undefined)
  t.equal(next(budget(0), [alone, job(1)], []), alone)
  t.equal(next(budget(0), [job(1)], [running(1, 0, true)]), undefined)
})

t.test('a job is run again once, and only for memory', async t => {
  t.equal(again(job(1), true), true)
  t.equal(again(job(1), false), false)
  t.equal(again(job(1, true), true), false)
})

t.test('peaks: the largest of the last five, of a bounded number of names', async t => {
  const peaks = new Peaks(3)
  t.equal(peaks.of('a'), undefined)
  for (const bytes of [900, 1, 2, 3, 4, 5]) peaks.add('a', bytes)
  t.equal(peaks.of('a'), 5, 'the one of six runs ago does not count any more')
  peaks.add('b', 1)
  peaks.add('c', 1)
  peaks.add('a', 7)
  peaks.add('d', 1)
  t.strictSame([peaks.of('a'), peaks.of('b'), peaks.of('c')], [7, undefined, 1])
})

interface Work extends Job {
  needs: number
  yielded: number
  ended: 'ran' | 'failed' | undefined
}

// Jobs of random needs and expectations on a simulated group of 64 MiB: each grows in four steps, and ends.
t.test('all jobs are done, each yields once at most, and fails only alone', async () => {
  const one = fc.record({
    needs: fc.integer({ min: 1, max: 80 }),
    expect: fc.integer({ min: 1, max: 80 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 8 }), async given => {
      const sim = simulate({ max: '64M' })
      const guard = await sim.guard({ delayMs: 1000, fallback: 'kill-largest' })
      const jobs: Work[] = given.map(({ needs, expect }) => ({
        ...{ needs: needs * MiB, expect: expect * MiB, alone: false },
        ...{ yielded: 0, ended: undefined },
      }))
      let waiting = [...jobs]
      let started: { job: Work; pid: number; has: number }[] = []
      const state = async () => ({ limit: 64 * MiB, usage: await sim.usage(), most: 4 })
      const all = () => started.map(({ job, has }) => ({ job, usage: has }))
      const end = (job: Work, how: Work['ended']) => {
        job.ended = how
        started = started.filter(each => each.job !== job)
      }
      const episodes = (async () => {
        for await (const episode of guard) {
          const last = started.at(-1)
          if (last === undefined) continue
          await episode.kill(last.pid)
          const more = again(last.job, true)
          end(last.job, more ? undefined : 'failed')
          if (!more) continue
          last.job.yielded++
          last.job.alone = true
          waiting = [...waiting, last.job]
        }
      })()
      for (let turns = 0; jobs.some(each => each.ended === undefined); turns++) {
        if (turns > 1000) throw new Error('not done after 1,000 turns')
        for (let found; (found = next(await state(), waiting, all())) !== undefined;) {
          const starting = found
          if (started.length > 0 && promised(await state(), all()) + starting.expect > 64 * MiB)
            throw new Error('started though it does not fit')
          waiting = waiting.filter(each => each !== starting)
          started.push({ job: starting, pid: sim.spawn(), has: 0 })
        }
        for (const each of [...started]) {
          if (!started.includes(each)) continue
          const step = Math.ceil(each.job.needs / 4)
          if (each.has >= each.job.needs) {
            sim.exit(each.pid)
            end(each.job, 'ran')
          } else {
            each.has += step
            sim.allocate(step, { pid: each.pid })
          }
          await sim.advance(50)
        }
      }
      await guard.dispose()
      await episodes
      for (const each of jobs) {
        if (each.yielded > 1) throw new Error('yielded twice')
        if (each.ended === 'failed' && !each.alone) throw new Error('failed though not alone')
        if (each.ended === 'failed' && each.needs <= 60 * MiB) throw new Error('failed with room')
      }
    }),
    { numRuns: 60 },
  )
})
