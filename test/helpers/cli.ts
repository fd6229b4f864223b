// The command as its users have it: the built package in a process of its own, without the test
// runner's loader, if required inside a scratch group.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { bareEnv } from './bare-env.js'
import { version } from './memory-files.js'

export const CLI = join(process.cwd(), 'dist/esm/lib/cli.js')

/** Where a command that is started in a group makes its own: on v2 beside one that has members. */
export const placeOf = (inside: string): string => (version === 1 ? inside : dirname(inside))

export interface CliOptions {
  /** The group (its directory) that it is started in. */
  inside?: string
  input?: string
  /** Put before the command: programs that exec it. */
  under?: readonly string[]
}

export interface CliResult {
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export class RunningCli {
  readonly child: ChildProcess
  readonly done: Promise<CliResult>
  stdout = ''
  stderr = ''

  constructor(args: readonly string[], { inside, input, under = [] }: CliOptions = {}) {
    const join =
      inside === undefined ? [] : ['sh', '-c', 'echo $$ >"$0"/cgroup.procs; exec "$@"', inside]
    const line = [...bareEnv(), ...join, ...under, process.execPath, CLI, ...args]
    this.child = spawn('env', line, { stdio: 'pipe' })
    this.child.stdout!.on('data', text => (this.stdout += String(text)))
    this.child.stderr!.on('data', text => (this.stderr += String(text)))
    this.child.stdin!.on('error', () => {})
    if (input !== undefined) this.child.stdin!.end(input)
    this.done = once(this.child, 'close').then(([status, signal]) => ({
      status: status as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }))
  }
}

export function cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new RunningCli(args, { input: '', ...options }).done
}
