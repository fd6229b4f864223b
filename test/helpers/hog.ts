// A process that fills memory on command (test/native/hog.c).
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { compiled } from './compile.js'
import type { Ending } from './scratch.js'

export class Hog {
  readonly exited: Promise<[code: number | null, signal: NodeJS.Signals | null]>
  readonly #lines: AsyncIterator<string, unknown>

  private constructor(readonly child: ChildProcess) {
    this.exited = once(child, 'exit') as Hog['exited']
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  }

  /** Starts one inside the group at `dir` (its cgroup directory), ready for commands. */
  static async start(dir?: string): Promise<Hog> {
    const child = spawn(compiled('hog'), dir === undefined ? [] : [dir], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    child.stdin.on('error', () => {})
    const hog = new Hog(child)
    await hog.#answer('pid')
    return hog
  }

  get pid(): number {
    return this.child.pid!
  }

  async #answer(word: string): Promise<number> {
    const { value, done } = await this.#lines.next()
    if (done || typeof value !== 'string') throw new Error(`hog ended before "${word}"`)
    const [reply, number] = value.split(' ')
    if (reply !== word) throw new Error(`hog printed "${value}", not "${word}"`)
    return Number(number)
  }

  /** Resolves when the memory is touched; rejects when the process is killed meanwhile. */
  fill(bytes: number): Promise<number> {
    this.child.stdin!.write(`fill ${bytes}\n`)
    return this.#answer('filled')
  }
  /** Maps that much shared memory, untouched; resolves with its descriptor in that process. */
  share(bytes: number): Promise<number> {
    this.child.stdin!.write(`share ${bytes}\n`)
    return this.#answer('shared')
  }
  /** Touches all of it once more. */
  again(): Promise<number> {
    this.child.stdin!.write('again\n')
    return this.#answer('touched')
  }
  free(): Promise<number> {
    this.child.stdin!.write('free\n')
    return this.#answer('freed')
  }
  /** When the longest touch of the last fill began: CLOCK_MONOTONIC, nanoseconds. */
  stalledAt(): Promise<number> {
    this.child.stdin!.write('stall\n')
    return this.#answer('stalled')
  }
  fork(): Promise<number> {
    this.child.stdin!.write('fork\n')
    return this.#answer('forked')
  }
  /** Forks `count` processes that join DIR/0, DIR/1, … and touch that many bytes each. */
  crowd(dir: string, count: number, bytes: number): Promise<number> {
    this.child.stdin!.write(`crowd ${dir} ${count} ${bytes}\n`)
    return this.#answer('crowded')
  }
  /** Becomes a fork bomb: put it into a pids group with a bound before. */
  bomb(): Promise<number> {
    this.child.stdin!.write('bomb\n')
    return this.#answer('bombing')
  }
  /** Ends it, also while it waits in an out-of-memory group. */
  async end(): Promise<void> {
    this.child.kill('SIGKILL')
    if (this.child.exitCode === null && this.child.signalCode === null) await this.exited
  }
}

/** One that is ended with the test. */
export async function hogIn(t: Ending, dir?: string): Promise<Hog> {
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  return hog
}
