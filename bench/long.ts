// Whether anything grows. Jobs come and go, ten a second, for an hour; once a minute they are let end, and
// what the process and its guardian have is counted while none runs: descriptors, threads, memory. The run
// fails when it is not the same at the end as after the first minute.
//
//   OOM_LONG_MINUTES      how long (60; with --short 5)
//   OOM_LONG_PER_SECOND   jobs (10)
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { scratch } from '../test/helpers/scratch.js'
import {
  changed,
  countProcess,
  grownMemory,
  sumOf,
  type Allowed,
  type Counts,
  type Sample,
} from './lib/growth.js'
import type { AtRest, Orders } from './lib/long-jobs.js'
import { guardianOf, rss } from './lib/proc.js'
import { measure, SHORT } from './lib/run.js'

const MINUTES = Number(process.env.OOM_LONG_MINUTES ?? (SHORT ? 5 : 60))
const PER_SECOND = Number(process.env.OOM_LONG_PER_SECOND ?? 10)
const PATIENCE_MS = 180_000

/**
 * The least that can be lost is 32 bytes a job, an allocation of the C library's, or 24, an object of V8's: after an
 * hour that is 1 MiB. What is allowed in all is what two minutes have been seen to differ by.
 */
const ALLOWED: Allowed = {
  "JavaScript's heap": { perJob: 12, bytes: 512 * 1024 },
  'native heap': { perJob: 8, bytes: 128 * 1024 },
  'resident, process': { perJob: 32, bytes: 8 * 1024 * 1024 },
  'resident, guardian': { perJob: 8, bytes: 256 * 1024 },
}

/** Groups below one, itself included. */
const groupsBelow = (dir: string): number =>
  readdirSync(dir, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .reduce((sum, entry) => sum + groupsBelow(join(dir, entry.name)), 1)

async function hear(child: ChildProcess): Promise<unknown> {
  const late = AbortSignal.timeout(PATIENCE_MS)
  const [message] = (await Promise.race([
    once(child, 'message', { signal: late }),
    once(child, 'exit', { signal: late }).then(([code, signal]) => {
      throw new Error(`the program has ended: ${String(code ?? signal)}`)
    }),
  ])) as [unknown]
  return message
}

function sample(program: number, guardian: number, dir: string, at: AtRest): Sample {
  const counted: Counts = { 'groups that exist': groupsBelow(dir), 'groups guarded': at.groups }
  countProcess(counted, 'process', program)
  countProcess(counted, 'guardian', guardian)
  for (const [kind, n] of Object.entries(at.active)) counted[`event loop, ${kind}`] = n
  return {
    jobs: at.jobs,
    counted,
    bytes: {
      "JavaScript's heap": at.js,
      'native heap': at.native,
      'resident, process': rss(program),
      'resident, guardian': rss(guardian),
    },
  }
}

await measure(`long: ${MINUTES} minutes of ${PER_SECOND} jobs a second`, async b => {
  const dir = scratch(b, undefined, MINUTES * 60 + 600)
  const program = fork(fileURLToPath(new URL('lib/long-jobs.js', import.meta.url)), {
    execArgv: ['--expose-gc'],
  })
  b.teardown(async () => {
    program.kill('SIGKILL')
    if (program.exitCode === null && program.signalCode === null) await once(program, 'exit')
  })
  program.send({ dir, perSecond: PER_SECOND } satisfies Orders)
  await hear(program)
  const guardian = guardianOf(program.pid!)
  const samples: Sample[] = []
  let at: AtRest | undefined
  let failed = 0
  for (let minute = 1; minute <= MINUTES; minute++) {
    await sleep(60_000)
    program.send('rest')
    at = (await hear(program)) as AtRest
    const now = sample(program.pid!, guardian, dir, at)
    samples.push(now)
    program.send('go')
    const kib = Object.values(now.bytes).map(n => (n / 1024).toFixed(0))
    const has = (name: string) =>
      `${sumOf(now.counted, name, 'descriptors')} descriptors, ${sumOf(now.counted, name, 'threads')} threads`
    b.note(
      `minute ${minute}: ${at.jobs} jobs; process ${has('process')}; guardian ${has('guardian')}; ` +
        `KiB: JavaScript ${kib[0]}, native ${kib[1]}, resident ${kib[2]}, guardian ${kib[3]}`,
    )
    for (const text of [...at.failures.slice(failed), ...changed(samples[0]!, now)]) b.note(text)
    failed = at.failures.length
  }
  b.table([
    ['how jobs went', 'times'],
    ...Object.entries({ ...at!.outcomes, ...at!.events })
      .toSorted(([a], [c]) => (a < c ? -1 : 1))
      .map(([name, n]) => [name, `${n}`]),
  ])
  if (at!.skipped > 0) b.note(`${at!.skipped} jobs were not begun: too many ran`)
  const wrong = [
    ...at!.failures,
    ...changed(samples[0]!, samples.at(-1)!),
    ...grownMemory(b, samples, ALLOWED),
  ]
  if (at!.events.removed !== at!.jobs) {
    wrong.push(`${at!.events.removed} removals were reported, of ${at!.jobs}`)
  }
  b.target(`nothing has grown or failed`, wrong.length === 0)
  if (wrong.length > 0) throw new Error(wrong.join('; '))
})
