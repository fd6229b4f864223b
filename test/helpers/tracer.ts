// Traces another process from outside (test/native/tracer.c): what system calls its threads make,
// a signal between any two of them, a seccomp filter for one thread.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { compiled } from './compile.js'

/** One of the calls of a thread, or the one before which a signal was sent. */
export interface Call {
  name: string
  thread: string
}

export class Tracer {
  readonly calls: Call[] = []
  /** Counted system calls when it ended by itself or on request. */
  total = 0
  /** Resolves to the call before which the signal was sent; to undefined if it never came to that. */
  readonly hit: Promise<Call | undefined>
  readonly #ready: Promise<void>

  private constructor(readonly child: ChildProcess) {
    let following: () => void
    let failed: (error: Error) => void
    this.#ready = new Promise((resolve, reject) => {
      following = resolve
      failed = reject
    })
    this.#ready.catch(() => {})
    this.hit = new Promise(resolve => {
      createInterface({ input: child.stdout! })
        .on('line', line => {
          const [word, name, ...thread] = line.split(' ')
          const call = { name: name!, thread: thread.join(' ') }
          if (word === 'following') following()
          else if (word === 'call') this.calls.push(call)
          else if (word === 'total') this.total = Number(name)
          else if (word === 'hit') resolve(call)
          else failed(new Error(line))
        })
        .on('close', () => {
          failed(new Error('the tracer has ended'))
          resolve(undefined)
        })
    })
  }

  static async #start(t: Test, pid: number, ...args: string[]): Promise<Tracer> {
    const child = spawn(compiled('tracer'), [String(pid), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const tracer = new Tracer(child)
    t.teardown(() => child.kill('SIGKILL'))
    await tracer.#ready
    return tracer
  }

  /** Sends a signal when the process makes its n-th system call (of that name) from now on, whatever the thread. */
  static inject(
    t: Test,
    pid: number,
    signal: NodeJS.Signals,
    n: number,
    name?: string,
  ): Promise<Tracer> {
    return Tracer.#start(
      t,
      pid,
      'inject',
      String(constants.signals[signal]),
      String(n),
      ...(name ? [name] : []),
    )
  }

  /** Only counts them. */
  static count(t: Test, pid: number): Promise<Tracer> {
    return Tracer.#start(t, pid, 'inject', '0', '0')
  }

  /** Notes each call of the threads whose names begin so. */
  static list(t: Test, pid: number, prefix: string): Promise<Tracer> {
    return Tracer.#start(t, pid, 'list', prefix)
  }

  /** Detaches from the process. */
  async end(): Promise<void> {
    const { child } = this
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'close')
  }
}

/** From now on any other system call of that thread kills its process (seccomp(2)). */
export function allowOnly(pid: number, thread: string, names: readonly string[]): void {
  execFileSync(compiled('tracer'), [String(pid), 'filter', thread, names.join(',')])
}
