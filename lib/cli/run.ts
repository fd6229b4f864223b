// cgroup-oom run: a command in a group of its own, guarded or watched, like a shell runs it: same
// terminal, signals passed on, its exit status.
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Fallback } from '../../types/guard.js'
import { groupPath, integer, invalidValue, oneOf } from '../base/args.js'
import { bytes } from '../base/bytes.js'
import { MemoryGroup } from '../group/memory-group.js'
import { FALLBACKS, MAX_DELAY_MS } from '../guard/options.js'
import { spawn } from '../spawn/spawn.js'
import { checked, parse, UsageError, type Command } from './command.js'
import { count, duration, size, statusOf } from './format.js'
import { placeFor } from './place.js'
import { reportEpisodes, reportKills, type Reporter } from './run-report.js'
import { Forwarder } from './run-signals.js'

// The exit statuses of timeout(1) and env(1) when they themselves fail, and of shells for a command.
const FAILED = 125
const NOT_EXECUTABLE = 126
const NOT_FOUND = 127

const help = `Usage: cgroup-oom run [OPTIONS] -- COMMAND [ARGUMENT…]

Runs a command in a memory group of its own and removes the group afterwards, with what is left in it.
Prints on stderr what happens when it runs out of memory, and how it ended.

Options:
  --max SIZE      the group's limit: bytes, or with K, M, G, T (powers of 1024); default: none
  --delay MS      guard it: when it is out of memory its tasks wait up to MS milliseconds for memory to
                  be freed or the limit to be raised, then the fallback decides. Default: not guarded,
                  the kernel's killer decides at once
  --fallback F    kernel (default), kill-largest, kill-newest or kill-group
  --parent GROUP  make the group below this one; default: the group that you are in, on v2 the one
                  above that (one with members may have no limited groups below it)
  --name NAME     the group's name; default: cgroup-oom-run-PID
  --quiet         only the command's own output
  --help          this text

SIGTERM and SIGHUP are passed on to the command, and SIGINT and SIGQUIT unless the terminal sends
them to it anyway.

Exit status: the command's own; 128 + N if signal N ended it; ${FAILED} if cgroup-oom itself failed,
${NOT_EXECUTABLE} if the command cannot be executed, ${NOT_FOUND} if it is not found; 2 usage.
`

interface Options {
  max: number
  delayMs: number
  fallback: Fallback
  parent: string | undefined
  name: string
  quiet: boolean
  command: string
  args: readonly string[]
}

/** Signals that came before there was a command: its end, without one. */
class Interrupted extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`ended by ${signal}`)
  }
}

function delayOf(text: string | undefined): number {
  if (text === undefined) return 0
  if (!/^\d+$/.test(text)) throw invalidValue('--delay', 'must be whole milliseconds', text)
  return integer('--delay', Number(text), 0, MAX_DELAY_MS)
}

function nameOf(text: string): string {
  groupPath('--name', text)
  if (text.includes('/') || text === '.') {
    throw invalidValue('--name', 'must be the name of one directory', text)
  }
  return text
}

function optionsOf(args: readonly string[]): Options {
  const end = args.indexOf('--')
  const { values } = parse({
    args: [...(end < 0 ? args : args.slice(0, end))],
    options: {
      max: { type: 'string' },
      delay: { type: 'string' },
      fallback: { type: 'string' },
      parent: { type: 'string' },
      name: { type: 'string' },
      quiet: { type: 'boolean' },
    },
  })
  const [command, ...rest] = end < 0 ? [] : args.slice(end + 1)
  if (command === undefined || command === '') throw new UsageError('a COMMAND is missing after --')
  const { max = 'max', delay, fallback, parent, name = `cgroup-oom-run-${process.pid}` } = values
  if (fallback !== undefined && delay === undefined) {
    throw new UsageError('--fallback is what happens after --delay, which is missing')
  }
  return checked(() => ({
    max: bytes('--max', max, { max: true }),
    delayMs: delayOf(delay),
    fallback: oneOf('--fallback', fallback, FALLBACKS, 'kernel'),
    parent: parent === undefined ? undefined : groupPath('--parent', parent),
    name: nameOf(name),
    quiet: values.quiet === true,
    command,
    args: rest,
  }))
}

interface Ended {
  status: number
  how: string
}

function end(child: ChildProcess, command: string): Promise<Ended> {
  return new Promise(resolve => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      const statuses: Record<string, number> = { ENOENT: NOT_FOUND, EACCES: NOT_EXECUTABLE }
      const status = (error.syscall?.startsWith('spawn') && statuses[error.code ?? '']) || FAILED
      resolve({ status, how: `'${command}' was not run: ${error.message}` })
    })
    child.once('exit', (code, signal) => {
      if (signal !== null) return resolve({ status: statusOf(signal), how: `ended by ${signal}` })
      resolve({ status: code!, how: `exited with ${code}` })
    })
  })
}

/** The most that the group has used, bytes; undefined where the kernel has no such file. */
function peakOf(path: string): number | undefined {
  for (const file of ['memory.max_usage_in_bytes', 'memory.peak']) {
    try {
      return Number(readFileSync(join(path, file), 'utf8'))
    } catch {}
  }
  return undefined
}

const GONE = ['ENOENT', 'ENODEV']

/** Also resolves when another process has removed the group. */
async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (GONE.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

async function supervise(
  group: MemoryGroup,
  options: Options,
  signals: Forwarder,
): Promise<number> {
  const print = (line: string) => {
    if (!options.quiet) process.stderr.write(`cgroup-oom: ${line}\n`)
  }
  let reporter: Reporter | undefined
  try {
    const { delayMs, fallback } = options
    // Below a guarded group (a `run --delay` in another one) a v1 group is born with its killer disabled.
    // It is new: only the guard above can have disabled it, and that one goes on guarding the group, too.
    reporter =
      delayMs > 0
        ? reportEpisodes(await group.guard({ delayMs, fallback, takeOver: true }), print)
        : await reportKills(group.path, print)
    if (signals.first !== undefined) throw new Interrupted(signals.first)

    const began = process.hrtime.bigint()
    const child = spawn(options.command, options.args, { group, stdio: 'inherit' })
    signals.to(child)
    const { status, how } = await end(child, options.command)
    const ran = Number(process.hrtime.bigint() - began)
    const peak = peakOf(group.path)
    // The last episode ends with the last member, a watch with the group: then all has been reported.
    const left = (await unlessGone(group.kill()))?.length ?? 0
    await reporter.dispose()
    await unlessGone(group.remove({ kill: true }))
    const { ooms, killed } = await reporter.totals()
    const parts = [
      `${how} after ${duration(ran)}`,
      peak === undefined ? '' : `peak ${size(peak)} of ${size(options.max)}`,
      ooms === 0
        ? ''
        : `out of memory ${count(ooms, 'time')}, ${count(killed, 'process', 'processes')} killed`,
      left === 0 ? '' : `${count(left, 'process', 'processes')} left behind and ended`,
    ]
    print(parts.filter(Boolean).join('; '))
    return status
  } finally {
    await reporter?.close()
    await unlessGone(group.remove({ kill: true }))
  }
}

async function runCommand(args: string[]): Promise<number> {
  const options = optionsOf(args)
  const signals = new Forwarder()
  try {
    const place = await placeFor(options.parent)
    const limits = options.max === Infinity ? {} : { max: options.max }
    await using group = await MemoryGroup.create(join(place, options.name), limits)
    return await supervise(group, options, signals)
  } catch (error) {
    if (error instanceof Interrupted) return statusOf(error.signal)
    process.stderr.write(`cgroup-oom run: ${(error as Error).message}\n`)
    return FAILED
  } finally {
    signals.stop()
  }
}

export const run: Command = {
  name: 'run',
  summary: 'run a command in a group of its own, guarded or watched',
  help,
  run: runCommand,
}
