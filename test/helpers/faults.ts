// What the tests of faults share: how often each is tried, what must be true after it, and the
// table of the worst lateness.
//   OOM_FAULT_ROUNDS   rounds of each fault (npm run evidence -- ROUNDS); 1 in the suite
//   OOM_FAULT_REPORT   a file to which each line of the table is appended as JSON
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { isHeld as isMarked } from '../../lib/cli/held-groups.js'
import { Hog } from './hog.js'
import type { Remote } from './remote.js'
import { isHeld, MiB, stillUnderOom, underOom } from './memory-files.js'
import { until } from './scratch.js'

export const rounds = Number(process.env.OOM_FAULT_ROUNDS ?? 1)

/** The group and all groups below it. */
export function tree(dir: string): string[] {
  if (!existsSync(dir)) return []
  const below = readdirSync(dir, { withFileTypes: true }).filter(entry => entry.isDirectory())
  return [dir, ...below.flatMap(entry => tree(join(dir, entry.name)))]
}

/** Every killer is enabled again; on v2 nothing is marked as held either, which a guard would refuse. */
export async function allEnabled(dir: string): Promise<void> {
  await until(() => !tree(dir).some(group => isHeld(group) || isMarked(group)))
}

/** Nothing that it has started is left. */
export async function allGone(remote: Remote): Promise<void> {
  await until(() => remote.household().length === 0)
}

/** SIGSTOP, and waits until every thread has stopped: until then some go on. */
export async function stop(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  const tasks = `/proc/${pid}/task`
  await until(() =>
    readdirSync(tasks).every(tid => / T /.test(readFileSync(`${tasks}/${tid}/stat`, 'utf8'))),
  )
}

export function comm(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** How long a group has been out of memory in one go, milliseconds, as seen from outside. */
export class Clock {
  readonly #began = process.hrtime.bigint()
  private constructor(readonly dir: string) {}

  /**
   * Resolves once it is out of memory: with the one that fills it gone, it has been while this process
   * did not get to run.
   */
  static async start(dir: string, { child }: Hog): Promise<Clock> {
    await until(() => underOom(dir) || child.exitCode !== null || child.signalCode !== null)
    return new Clock(dir)
  }
  async stop(): Promise<number> {
    while (existsSync(this.dir) && stillUnderOom(this.dir)) await sleep(0)
    return since(this.#began)
  }
}

/** Milliseconds. */
export const since = (began: bigint): number => Number(process.hrtime.bigint() - began) / 1e6

/** Fills the group beyond its limit from `began` on; `lived` resolves with whether it was let live. */
export async function overfill(
  t: Test,
  dir: string,
  bytes = 24 * MiB,
): Promise<{ hog: Hog; began: bigint; lived: Promise<boolean> }> {
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const began = process.hrtime.bigint()
  const lived = hog.fill(bytes).then(
    () => true,
    () => false,
  )
  return { hog, began, lived }
}

/** One line of the table: `late` are milliseconds out of memory beyond the delay, of each time. */
export function recordLateness(t: Test, fault: string, late: number[], count = late.length): void {
  const worst = Math.max(0, ...late)
  t.comment(`${fault}: ${count} times, worst lateness ${worst.toFixed(1)} ms`)
  const file = process.env.OOM_FAULT_REPORT
  if (file !== undefined) {
    appendFileSync(file, JSON.stringify({ fault, count, worstMs: worst }) + '\n')
  }
  // The promise is for an idle machine: the test fails only for a group that no process takes care of.
  t.ok(worst < 30_000, fault)
}
