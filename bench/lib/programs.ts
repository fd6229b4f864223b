// The C programs of the measurements (bench/native), compiled when they are first needed, and talking
// with them line by line.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const root = process.cwd()

/** Compiles bench/native/NAME.c; the result's path. */
function compiled(name: string, suffix: string, flags: readonly string[]): string {
  const source = join(root, 'bench/native', `${name}.c`)
  const output = join(root, 'build/bench/native', name + suffix)
  if (!existsSync(output) || statSync(output).mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(join(root, 'build/bench/native'), { recursive: true })
    const mine = `${output}.${process.pid}`
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', ...flags, '-o', mine, source], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    renameSync(mine, output)
  }
  return output
}

export const program = (name: string): string => compiled(name, '', ['-D_GNU_SOURCE'])

export const countMalloc = (): string => compiled('count_malloc', '.so', ['-shared', '-fPIC'])

interface Floor {
  fire: (callback: (sentAt: bigint) => void, group?: string) => void
  heap: () => number
}

/** The addon of the measurements, against the headers that the package's own was built with. */
export function floorAddon(): Floor {
  const config = readFileSync(join(root, 'build/config.gypi'), 'utf8')
  const headers = join(/"nodedir": "(.*)"/.exec(config)![1]!, 'include/node')
  const file = compiled('floor', '.node', ['-shared', '-fPIC', '-D_GNU_SOURCE', `-I${headers}`])
  return createRequire(import.meta.url)(file) as Floor
}

/** A program that answers in lines. */
export class Talker {
  readonly #lines: AsyncIterator<string, unknown>
  private constructor(readonly child: ChildProcess) {
    child.stdin!.on('error', () => {})
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  }

  static start(name: string, ...args: string[]): Talker {
    return new Talker(spawn(program(name), args, { stdio: ['pipe', 'pipe', 'inherit'] }))
  }

  send(line: string): void {
    this.child.stdin!.write(`${line}\n`)
  }

  /** The rest of a line that begins with `word`. */
  async hear(word: string): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done || typeof value !== 'string' || !value.startsWith(word)) {
      throw new Error(`"${word}" was expected, not "${String(value)}"`)
    }
    return value.slice(word.length).trim()
  }

  async rest(): Promise<string[]> {
    const lines = []
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done || typeof value !== 'string') return lines
      lines.push(value)
    }
  }

  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.child.kill(signal)
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, 'exit')
    }
  }
}
