// Members that /proc does not show as they are (test/native/odd.c).
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { compiled } from './compile.js'

/** Runs a command as the first process of a PID namespace of its own; for Remote's `through`. */
export const namespaced = (): string[] => [compiled('odd'), 'namespace']

export class Odd {
  readonly exited: Promise<[code: number | null, signal: NodeJS.Signals | null]>
  readonly #lines: AsyncIterator<string, unknown>

  private constructor(readonly child: ChildProcess) {
    this.exited = once(child, 'exit') as Odd['exited']
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  }

  /** One that is ready to fill; it has ended when the test has. */
  static async start(t: Test, ...args: (string | number)[]): Promise<Odd> {
    const child = spawn(compiled('odd'), args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.on('error', () => {})
    const odd = new Odd(child)
    t.teardown(async () => {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await odd.exited
    })
    await odd.#answer('ready')
    return odd
  }

  get pid(): number {
    return this.child.pid!
  }

  /** Resolves when the memory is touched; rejects when the process has ended before. */
  fill(): Promise<void> {
    this.child.stdin!.write('\n')
    return this.#answer('filled')
  }

  async #answer(word: string): Promise<void> {
    const { value, done } = await this.#lines.next()
    if (done || value !== word) throw new Error(`odd printed "${String(value)}", not "${word}"`)
  }
}
