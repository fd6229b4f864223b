// run(): makes the group, spawns into it, guards it, ends it, removes it, and says what happened.
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JobReport, RunOptions } from '../../types/job.js'
import { abortSignal, boolean, integer, invalidType, options as objectOf } from '../base/args.js'
import { bytes } from '../base/bytes.js'
import { debug } from '../base/diagnostics.js'
import { AbortError } from '../base/errors.js'
import { throwIfAborted } from '../base/queue.js'
import { exitReport } from '../exit/report.js'
import { MemoryGroup } from '../group/memory-group.js'
import { checkGuardOptions } from '../guard/options.js'
import { argsAndOptions, checkCommand } from '../spawn/check.js'
import { spawn } from '../spawn/spawn.js'
import { Tail } from './capture.js'
import { placeFor, type JobGuard, type JobLimits, type JobPlace } from './place.js'
import { Timeline } from './timeline.js'

const CAPTURE = 2 ** 20
const DELAY_MS = 5000
// From the polite signal to SIGKILL.
const PATIENCE_MS = 2000
// What inherited the command's pipes, and is in no group that could be ended, is waited for no longer.
const PIPES_MS = 1000
const MAX_TIMEOUT_MS = 2 ** 31 - 1

interface Checked {
  limits: JobLimits
  guard: JobGuard
  parent: RunOptions['parent']
  capture: number | false
  timeoutMs: number | undefined
  signal: AbortSignal | undefined
  spawning: SpawnOptions
}

function check(given: RunOptions | undefined): Checked {
  const options = objectOf('options', given)
  const { max, swap, parent, timeoutMs, policy, delayMs, capture, signal, ...rest } = options
  const guard: JobGuard = {
    delayMs: delayMs ?? (policy === undefined ? 0 : DELAY_MS),
    ...(policy === undefined ? {} : { policy }),
  }
  checkGuardOptions(guard)
  if (parent !== undefined && !(parent instanceof MemoryGroup)) {
    throw invalidType('options.parent', 'an instance of MemoryGroup', parent)
  }
  const kept = capture === false ? capture : bytes('options.capture', capture ?? CAPTURE)
  const out = kept === false ? 'inherit' : 'pipe'
  return {
    limits: {
      max: bytes('options.max', max ?? 'max', { max: true }),
      swap: boolean('options.swap', swap, true),
    },
    guard,
    parent,
    capture: kept,
    timeoutMs:
      timeoutMs === undefined
        ? undefined
        : integer('options.timeoutMs', timeoutMs, 1, MAX_TIMEOUT_MS),
    signal: abortSignal('options.signal', signal),
    spawning: { stdio: ['ignore', out, out], ...rest },
  }
}

/** Ends a job with all that it has started, politely first. */
class Ender {
  readonly #child: ChildProcess
  readonly #group: MemoryGroup | undefined
  readonly #signal: NodeJS.Signals | number
  #begun = false

  constructor(child: ChildProcess, group: MemoryGroup | undefined, options: SpawnOptions) {
    this.#child = child
    this.#group = group
    this.#signal = options.killSignal ?? 'SIGTERM'
  }

  async end(): Promise<void> {
    if (this.#begun) return
    this.#begun = true
    try {
      if (typeof this.#signal === 'string' && this.#signal !== 'SIGKILL' && this.#group) {
        await this.#group.kill({ signal: this.#signal })
      } else {
        this.#child.kill(this.#signal)
      }
      await sleep(PATIENCE_MS, undefined, { ref: false })
      this.#child.kill('SIGKILL')
      await this.#group?.kill()
    } catch (error) {
      // It has ended, and its group is gone.
      debug('ending a job: %s', error)
    }
  }
}

async function work(command: string, args: readonly string[], c: Checked, place: JobPlace) {
  const { group, guard } = place
  const startedAt = process.hrtime.bigint()
  const timeline = new Timeline(startedAt)
  const child = spawn(command, args, group === undefined ? c.spawning : { ...c.spawning, group })
  const reported = exitReport(child)
  // Its report has it.
  let failed: Error | undefined
  child.on('error', error => (failed = error))
  const tails = c.capture === false ? {} : tailsOf(child, c.capture)
  const where = place.reason === undefined ? '' : `, in no group of its own: ${place.reason}`
  child.once('spawn', () => {
    timeline.add('started', `${command} runs as process ${child.pid}${where}`)
  })
  if (group !== undefined) timeline.follow(group).catch(error => debug('no events: %s', error))
  if (guard !== undefined) {
    const only = group?.path ?? guard.group.path
    timeline.episodes(guard, only).catch(error => debug('the guard is lost: %s', error))
  }
  const ender = new Ender(child, group, c.spawning)
  let timedOut = false
  const timer =
    c.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true
          timeline.add('timeout', `${c.timeoutMs} ms are over: it is ended`)
          void ender.end()
        }, c.timeoutMs)
  const abort = () => void ender.end()
  c.signal?.addEventListener('abort', abort, { once: true })
  if (c.signal?.aborted === true) abort()
  try {
    const report = await reported
    const endedAt = process.hrtime.bigint()
    if (child.pid === undefined && failed !== undefined) throw failed
    timeline.end(report, endedAt)
    await group?.kill().catch((error: unknown) => debug('what is left: %s', error))
    const pipes = Promise.all(Object.values(tails).map(tail => tail.ended))
    await Promise.race([pipes, sleep(PIPES_MS, undefined, { ref: false })])
    const durationMs = Number(endedAt - startedAt) / 1e6
    return { report, durationMs, timeline, timedOut, tails }
  } finally {
    clearTimeout(timer)
    c.signal?.removeEventListener('abort', abort)
    timeline.close()
  }
}

function tailsOf(child: ChildProcess, limit: number): { stdout?: Tail; stderr?: Tail } {
  return {
    ...(child.stdout ? { stdout: new Tail(child.stdout, limit) } : {}),
    ...(child.stderr ? { stderr: new Tail(child.stderr, limit) } : {}),
  }
}

/**
 * Runs a job in a group of its own and reports how it ended: {@link exitReport}, its output, and what happened when.
 * The group is removed with all that the job has left. Options are those of `child_process.spawn()` and what memory
 * needs; stdin is empty unless `stdio` says otherwise.
 *
 *     const { oom, summary } = await run('npm', ['test'], { max: '2G', policy: [{ raise: '512M' }, 'kill-largest'] })
 *
 * A job that fails, is killed or times out is no failure of `run()`. It rejects where the command could not be started
 * (as `'error'` of the child has it), where its group could not be made or guarded, and with an `AbortError`.
 */
export function run(command: string, options?: RunOptions): Promise<JobReport>
export function run(
  command: string,
  args: readonly string[] | undefined,
  options?: RunOptions,
): Promise<JobReport>
export async function run(
  command: string,
  second?: readonly string[] | RunOptions,
  third?: RunOptions,
): Promise<JobReport> {
  const { args, options } = argsAndOptions(second, third)
  const checked = check(options as RunOptions | undefined)
  checkCommand(command, args, checked.spawning)
  throwIfAborted(checked.signal)
  const place = await placeFor(checked.parent, checked.limits, checked.guard)
  let done: Awaited<ReturnType<typeof work>>
  try {
    done = await work(command, args as readonly string[], checked, place)
  } finally {
    await place.leave()
  }
  if (checked.signal?.aborted === true) throw new AbortError(checked.signal.reason)
  const { report, durationMs, timeline, timedOut, tails } = done
  return {
    ...report,
    ...(timedOut ? { summary: `timed out after ${checked.timeoutMs} ms: ${report.summary}` } : {}),
    ...(tails.stdout === undefined ? {} : { stdout: tails.stdout.text() }),
    ...(tails.stderr === undefined ? {} : { stderr: tails.stderr.text() }),
    durationMs,
    timeline: timeline.entries,
    timedOut,
    ownGroup: place.group !== undefined,
  }
}
