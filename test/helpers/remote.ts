// A supervisor in a process of its own that obeys commands: each command is a piece of JavaScript,
// evaluated there, its value sent back. The built package, no test loader: as a user's would run.
// It lives in a memory group of its own ("home"), so that whatever it starts and leaves is found.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import type { GuardOptions } from '../../lib/index.js'
import { bareEnv } from './bare-env.js'
import { read, version, write } from './memory-files.js'
import { scratch } from './scratch.js'

const dist = join(process.cwd(), 'dist/commonjs/lib')

const PROGRAM = `
'use strict'
const fs = require('node:fs')
const { Worker } = require('node:worker_threads')
const DIST = ${JSON.stringify(dist)}
const oom = { ...require(DIST + '/index.js'), ...require(DIST + '/primitives.js') }
const { binding } = require(DIST + '/native/addon.js')
const send = message => fs.writeSync(1, JSON.stringify(message, (_, v) => (typeof v === 'bigint' ? Number(v) : v)) + '\\n')
const emit = (event, value) => send({ event, value })
// Guards a group and reports its episodes; "decide" is called with each.
const guards = []
async function guardGroup(dir, options, decide = () => {}) {
  const group = await oom.MemoryGroup.open(dir)
  const guard = await group.guard(options)
  guards.push(guard)
  void (async () => {
    try {
      for await (const episode of guard) {
        const { id, group, startedAt, deadline } = episode
        emit('episode', { id, group, startedAt, deadline })
        void episode.ended.then(end => emit('ended', { id, group, ...end }))
        decide(episode)
      }
      emit('over', null)
    } catch (error) {
      emit('failed', error.code ?? String(error))
    }
  })()
  return { guardian: binding().guardianPid() }
}
const AsyncFunction = (async () => {}).constructor
const scope = { oom, binding, emit, guards, guardGroup, fs, Worker, DIST, require }
let input = ''
process.stdin.on('data', data => {
  input += data
  for (let end; (end = input.indexOf('\\n')) >= 0; input = input.slice(end + 1)) {
    const { id, code } = JSON.parse(input.slice(0, end))
    new AsyncFunction(...Object.keys(scope), code)(...Object.values(scope)).then(
      value => send({ id, value: value ?? null }),
      error => send({ id, error: { code: error.code, message: error.message } }),
    )
  }
})
process.stdin.on('end', () => {})
send({ event: 'ready' })
`

export interface RemoteOptions {
  /** Where it lives; by default a new group of its own. */
  home?: string
  /** What it is started through: "prlimit --nofile=64", "strace …". */
  through?: string[]
  /** Becomes the user nobody, once everything is loaded. */
  nobody?: boolean
  nodeArgs?: string[]
}

interface Message {
  id?: number
  event?: string
  value?: unknown
  error?: { code?: string; message: string }
}

export class Remote {
  readonly exited: Promise<[code: number | null, signal: NodeJS.Signals | null]>
  readonly #answers = new Map<number, (message: Message) => void>()
  readonly #events: Message[] = []
  readonly #waiting = new Set<() => void>()
  #next = 1
  stderr = ''

  private constructor(
    readonly child: ChildProcess,
    readonly home: string,
  ) {
    this.exited = once(child, 'close') as Remote['exited']
    child.stdin!.on('error', () => {})
    child.stderr!.on('data', data => (this.stderr += String(data)))
    createInterface({ input: child.stdout! }).on('line', line => {
      const message = JSON.parse(line) as Message
      if (message.id === undefined) {
        this.#events.push(message)
        for (const wake of this.#waiting) wake()
      } else {
        this.#answers.get(message.id)?.(message)
      }
    })
    void this.exited.then(() => {
      for (const answer of this.#answers.values()) {
        answer({ error: { code: 'GONE', message: `it has ended: ${this.stderr}` } })
      }
      for (const wake of this.#waiting) wake()
    })
  }

  static async start(t: Test, options: RemoteOptions = {}): Promise<Remote> {
    const home = options.home ?? scratch(t)
    const command = [
      ...(options.through ?? []),
      process.execPath,
      ...(options.nodeArgs ?? []),
      '-e',
      PROGRAM,
    ]
    const child = spawn(
      'env',
      [...bareEnv(), 'sh', '-c', `echo $$ > ${home}/cgroup.procs && exec "$@"`, 'sh', ...command],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    const remote = new Remote(child, home)
    t.teardown(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await remote.exited
    })
    await remote.event('ready')
    if (options.nobody) {
      await remote.run(
        'await oom.probe(); process.setgroups([]); process.setgid(65534); process.setuid(65534)',
      )
    }
    return remote
  }

  get pid(): number {
    return this.child.pid!
  }

  run<T = unknown>(code: string): Promise<T> {
    const id = this.#next++
    return new Promise<T>((resolve, reject) => {
      this.#answers.set(id, message => {
        this.#answers.delete(id)
        if (message.error) {
          reject(Object.assign(new Error(message.error.message), { code: message.error.code }))
        } else {
          resolve(message.value as T)
        }
      })
      this.child.stdin!.write(JSON.stringify({ id, code }) + '\n')
    })
  }

  /** The next event of that name, which may have come already. */
  async event<T = unknown>(name: string): Promise<T> {
    for (;;) {
      const at = this.#events.findIndex(message => message.event === name)
      if (at >= 0) return this.#events.splice(at, 1)[0]!.value as T
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it has ended before "${name}": ${this.stderr}`)
      }
      await new Promise<void>(resolve => {
        const wake = () => {
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
      })
    }
  }

  /** `decide`: the source of a function that is given each episode. */
  guard(dir: string, options: GuardOptions, decide?: string): Promise<{ guardian: number }> {
    return this.run(
      `return guardGroup(${JSON.stringify(dir)}, ${JSON.stringify(options)}${decide === undefined ? '' : `, ${decide}`})`,
    )
  }

  /** Who lives where it lives: itself, and what it has started. */
  household(): number[] {
    return read(this.home, 'cgroup.procs').split('\n').filter(Boolean).map(Number)
  }
}

/** Holds a group although no process does, as a killed guard leaves it. */
export async function leaveHeld(t: Test, dir: string): Promise<void> {
  if (version === 1) return write(dir, 'memory.oom_control', 1)
  const remote = await Remote.start(t)
  await remote.guard(dir, { delayMs: 60_000, guardian: false })
  remote.child.kill('SIGKILL')
  await remote.exited
}
