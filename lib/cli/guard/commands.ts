// --on-episode: a command for each episode. It gets the beginning as one line of JSON on stdin, and the end as a
// second one when that is known. No guard waits for it: the deadline is kept natively, whatever it does. At most
// MOST run at once, and one that still runs long after its episode is ended.
import { spawn, type ChildProcess } from 'node:child_process'
import type { EpisodeCommand } from './config.js'

const MOST = 8
const LINGER_MS = 60_000

export interface EpisodeWords {
  /** CGROUP_OOM_*: what a shell needs, without JSON. */
  env: Record<string, string>
  begin: string
  end: Promise<string>
}

export class Commands {
  readonly #running = new Set<ChildProcess>()
  readonly #print: (group: string, problem: string) => void

  constructor(print: (group: string, problem: string) => void) {
    this.#print = print
  }

  /** Returns at once and never throws. */
  run(command: EpisodeCommand, group: string, words: EpisodeWords): void {
    const problem = (text: string) => this.#print(group, `on-episode: ${text}`)
    if (this.#running.size >= MOST) return problem(`not run: ${MOST} commands are still running`)
    const [program, ...args] = typeof command === 'string' ? ['/bin/sh', '-c', command] : command
    let child: ChildProcess
    try {
      child = spawn(program!, args, {
        // A group of processes of its own, which can be ended as a whole.
        detached: true,
        env: { ...process.env, ...words.env },
        // stdout has this command's own lines.
        stdio: ['pipe', 2, 2],
      })
    } catch (error) {
      return problem((error as Error).message)
    }
    this.#running.add(child)
    let over: NodeJS.Timeout | undefined
    let known = false
    child.once('error', error => {
      this.#running.delete(child)
      if (!known) problem(error.message)
      known = true
    })
    child.once('exit', (code, signal) => {
      this.#running.delete(child)
      clearTimeout(over)
      if (code !== 0 && !known)
        problem(signal === null ? `ended with ${code}` : `ended by ${signal}`)
      known = true
    })
    // It need not read: EPIPE is none of our business.
    const { stdin } = child
    stdin?.on('error', () => {})
    stdin?.write(`${words.begin}\n`)
    void words.end.then(text => {
      stdin?.end(`${text}\n`)
      if (this.#running.has(child)) over = setTimeout(() => endAll(child, 'SIGKILL'), LINGER_MS)
      over?.unref()
    })
  }

  /** Ends those that still run. */
  stop(): void {
    for (const child of this.#running) {
      endAll(child, 'SIGTERM')
      child.unref()
      child.stdin?.destroy()
    }
  }
}

function endAll(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // It has just ended.
  }
}
