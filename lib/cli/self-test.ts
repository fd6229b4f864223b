// The self-test of `cgroup-oom doctor`: a Node.js process in a scratch group guards that very group
// and fills it until it hangs. Its own native thread has to raise the limit, and its JavaScript to go
// on. Seen from outside step by step, with a keeper that ends it all after a time limit.
import { spawn as spawnProcess, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MemoryGroup } from '../group/memory-group.js'
import { here } from '../native/dirname.js'
import { spawn } from '../spawn/spawn.js'
import { duration, size } from './format.js'
import { isHeld, isOutOfMemory } from './held-groups.js'
import { makeGroup, type OwnGroup } from './place.js'
import { callOf, failureOf, HEADROOM, LIMIT, type StepDone, type Word } from './self-test/talk.js'

export interface Step {
  name: string
  ok: boolean
  detail: string
}

export interface SelfTest {
  steps: Step[]
  /** The first step that failed, and the call that did. */
  failed: { step: string; call: string } | undefined
}

const INTERRUPTS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const KEEPER_SECONDS = 60
const PATIENCE_MS = 30_000
// If the group is out of memory for that long, the headroom has not come.
const STARVED_MS = 1500

// The call by which the native thread raises the limit.
const CALLS = { 1: 'write memory.limit_in_bytes', 2: 'write memory.max' } as const

// The headroom was enough to go on and to free memory with.
const HELPED: readonly string[] = ['plan', 'recovered']

const program = (name: string): string => join(here, '..', 'cli', 'self-test', `${name}.js`)

/** A failed step whose text is the call that failed. */
class StepFailed extends Error {}

/** The lines that a program of the self-test prints. */
class Lines {
  readonly #lines: AsyncIterator<string>
  #stderr = ''
  readonly #how: Promise<string>

  constructor(child: ChildProcess) {
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
    child.stderr!.on('data', text => (this.#stderr += String(text)))
    child.stdin?.on('error', () => {})
    this.#how = new Promise(resolve => {
      child.once('error', error => resolve(callOf(failureOf(error))))
      child.once('close', (code, signal) => resolve(`it ended (${signal ?? `status ${code}`})`))
    })
  }

  async next(): Promise<string> {
    const timeout = new AbortController()
    const late = sleep(PATIENCE_MS, undefined, { signal: timeout.signal }).then(
      () => {
        throw new StepFailed(`no answer within ${duration(PATIENCE_MS * 1e6)}`)
      },
      () => undefined,
    )
    try {
      const line = await Promise.race([this.#lines.next(), late])
      if (line !== undefined && !line.done) return line.value
      const text = this.#stderr.trim().split('\n').find(Boolean)
      throw new StepFailed(`${await this.#how}${text === undefined ? '' : `: ${text}`}`)
    } finally {
      timeout.abort()
    }
  }

  async word<K extends Word['event']>(wanted: K): Promise<Extract<Word, { event: K }>> {
    const word = JSON.parse(await this.next()) as Word
    if (word.event === 'failed') throw new StepFailed(callOf(word.failure))
    if (word.event !== wanted) throw new StepFailed(`'${word.event}' came instead of '${wanted}'`)
    return word as Extract<Word, { event: K }>
  }
}

/** Raises the limit from outside if the process inside has not done so in time. Ends with the signal. */
async function helpOut(group: MemoryGroup, signal: AbortSignal): Promise<void> {
  for (let since: number | undefined; !signal.aborted; await sleep(20)) {
    if (!isOutOfMemory(group.path)) {
      since = undefined
    } else if (performance.now() - (since ??= performance.now()) > STARVED_MS) {
      await group.setLimits({ max: LIMIT + 2 * HEADROOM })
      return
    }
  }
}

function checkHeadroom(
  steps: readonly StepDone[],
  outcome: string,
  { version }: MemoryGroup,
): string {
  const headroom = steps.find(step => step.action === 'headroom')
  if (headroom === undefined) throw new StepFailed(`it was not tried; outcome: ${outcome}`)
  if (headroom.errno !== 0) throw new StepFailed(`${CALLS[version]}: ${headroom.code}`)
  return `${size(HEADROOM)} more`
}

/** Makes its group below `within`, by default where the process may (place.ts). */
export async function selfTest(
  within: string | undefined,
  onStep: (step: Step) => void,
): Promise<SelfTest> {
  const result: SelfTest = { steps: [], failed: undefined }
  const step = async <T>(name: string, work: () => Promise<T>, detail?: (value: T) => string) => {
    const record = (ok: boolean, text: string) => {
      const done = { name, ok, detail: text }
      result.steps.push(done)
      onStep(done)
    }
    try {
      const value = await work()
      record(true, detail?.(value) ?? '')
      return value
    } catch (error) {
      const call = error instanceof StepFailed ? error.message : callOf(failureOf(error))
      record(false, call)
      result.failed ??= { step: name, call }
      throw new StepFailed(call)
    }
  }
  await using cleanup = new Cleanup()
  const interrupted = (signal: NodeJS.Signals) => {
    void cleanup[Symbol.asyncDispose]().finally(() => process.kill(process.pid, signal))
  }
  for (const signal of INTERRUPTS) process.once(signal, interrupted)
  try {
    await steps(within, step, cleanup)
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error
  } finally {
    for (const signal of INTERRUPTS) process.off(signal, interrupted)
  }
  const group = (await cleanup.own())?.group
  if (group !== undefined) {
    await step('remove the group', () => group.remove({ kill: true })).catch(() => {})
  }
  return result
}

/** What is there when it is over, however it went. */
class Cleanup implements AsyncDisposable {
  making: Promise<OwnGroup> | undefined
  keeper: ChildProcess | undefined
  readonly over = new AbortController()

  async own(): Promise<OwnGroup | undefined> {
    return this.making?.catch(() => undefined)
  }

  /** The group is removed by then, but where it ends before its time. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.over.abort()
    this.keeper?.stdin?.end()
    const own = await this.own()
    await own?.group.remove({ kill: true }).catch(() => {})
    await own?.[Symbol.asyncDispose]()
  }
}

type RunStep = <T>(
  name: string,
  work: () => Promise<T>,
  detail?: (value: T) => string,
) => Promise<T>

async function steps(within: string | undefined, step: RunStep, cleanup: Cleanup): Promise<void> {
  const group = await step(
    'make a scratch group',
    async () => {
      const name = `cgroup-oom-self-test-${process.pid}`
      cleanup.making = makeGroup({ name, limits: { max: LIMIT }, within })
      return (await cleanup.making).group
    },
    ({ path }) => path,
  )

  await step('start a keeper outside', async () => {
    const args = [program('keeper'), group.path, String(KEEPER_SECONDS)]
    cleanup.keeper = spawnProcess(process.execPath, args, { detached: true })
    cleanup.keeper.unref()
    await new Lines(cleanup.keeper).next()
  })

  const lines = await step('start Node.js inside', async () => {
    const child = spawn(process.execPath, [program('inside'), group.path], { group, stdio: 'pipe' })
    return new Lines(child)
  })
  await step(
    'guard the group from inside',
    () => lines.word('armed'),
    ({ afterNs }) => `armed in ${duration(afterNs)}`,
  )
  await lines.word('filling')
  void helpOut(group, cleanup.over.signal).catch(() => {})
  const wentOn = await step(
    'fill it until it is starved',
    () => lines.word('went on'),
    ({ usage, limit }) => `${size(usage)} of ${size(limit)}`,
  )
  await step(
    'headroom by the native thread',
    async () => checkHeadroom(wentOn.steps, wentOn.outcome, group),
    text => text,
  )
  await step(
    'JavaScript goes on',
    async () => {
      if (!HELPED.includes(wentOn.outcome)) throw new StepFailed(`outcome: ${wentOn.outcome}`)
    },
    () => `${duration(wentOn.afterNs)} after the group was out of memory`,
  )
  await step('release the group', async () => {
    await lines.word('disposed')
    if (isHeld(group.path)) throw new StepFailed('its killer is still disabled')
  })
}
