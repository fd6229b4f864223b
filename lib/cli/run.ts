// cgroup-oom run: a command in a group of its own, guarded or watched, like a shell runs it: same
// terminal, signals passed on, its exit status.
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExitReport } from '../../types/exit.js'
import { exitReport } from '../exit/report.js'
import { type MemoryGroup } from '../group/memory-group.js'
import { spawn } from '../spawn/spawn.js'
import type { Command } from './command.js'
import { complain, count, duration, size, statusOf } from './format.js'
import { makeGroup } from './place.js'
import { runOptions, type RunCommand } from './run-options.js'
import { reportEpisodes, reportKills, type Reporter } from './run-report.js'
import { Forwarder } from './run-signals.js'

// The exit statuses of timeout(1) and env(1) when they themselves fail, and of shells for a command.
const FAILED = 125
const NOT_EXECUTABLE = 126
const NOT_FOUND = 127
const TIMED_OUT = 124
const KILLED = 137

// From SIGTERM at the timeout to SIGKILL.
const PATIENCE_MS = 2000

const help = `Usage: cgroup-oom run [OPTIONS] -- COMMAND [ARGUMENT…]

Runs a command in a memory group of its own and removes the group afterwards, with what is left in it.
Prints on stderr what happens when it runs out of memory, and how it ended.

Options:
  --max SIZE      the group's limit: bytes, or with K, M, G, T (powers of 1024); default: none
  --delay MS      guard it: out of memory, its tasks wait up to MS milliseconds, then --fallback decides; default: 0
  --fallback F    kernel (default), kill-largest, kill-newest or kill-group
  --raise SIZE    with --delay: raise the limit by SIZE, the first time that the group is out of memory
  --timeout MS    end the group's processes (--observe: the command) after MS milliseconds: SIGTERM, 2 s later SIGKILL
  --fail-on-oom   exit status ${KILLED} if a process was certainly killed for its memory, though the command ended with 0
  --json [FILE]   the report as an object, to FILE, or to stderr instead of the lines there
  --observe       no group of its own: the command stays where you are. Needs no right
  --parent GROUP  make the group below this one; default: the group that you are in, on v2 the one
                  above that, and where none may be made there, a scope that systemd is asked for
  --settle        make room in a v2 container or unit by moving its processes into a group below
  --name NAME     the group's name; default: cgroup-oom-run-PID
  --quiet         only the command's own output
  --help          this text

SIGTERM and SIGHUP are passed on to the command, SIGINT and SIGQUIT unless the terminal sends them to it.

Exit status: the command's own; 128 + N if signal N ended it; ${TIMED_OUT} after --timeout; ${FAILED} if cgroup-oom itself failed,
${NOT_EXECUTABLE} if the command cannot be executed, ${NOT_FOUND} if it is not found; 2 usage.
`

/** Signals that came before there was a command: its end, without one. */
class Interrupted extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`ended by ${signal}`)
  }
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

/** At the timeout, with all that it has started. */
async function endAll(child: ChildProcess, group: MemoryGroup | undefined): Promise<void> {
  try {
    if (group === undefined) child.kill('SIGTERM')
    else await group.kill({ signal: 'SIGTERM' })
    await sleep(PATIENCE_MS, undefined, { ref: false })
    child.kill('SIGKILL')
    await group?.kill()
  } catch {
    // All of it has ended meanwhile.
  }
}

interface Ran extends Ended {
  ranNs: number
  timedOut: boolean
  report: ExitReport
}

/** `group`: the command's own. */
async function runIn(
  group: MemoryGroup | undefined,
  options: RunCommand,
  signals: Forwarder,
): Promise<Ran> {
  const began = process.hrtime.bigint()
  const child = spawn(options.command, options.args, {
    stdio: 'inherit',
    ...(group === undefined ? {} : { group }),
  })
  const reported = exitReport(child)
  signals.to(child)
  let timedOut = false
  const { timeoutMs } = options
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true
          void endAll(child, group)
        }, timeoutMs)
  const ended = await end(child, options.command)
  clearTimeout(timer)
  const ranNs = Number(process.hrtime.bigint() - began)
  return { ...ended, ranNs, timedOut, report: await reported }
}

/** The command has run: what becomes of its report does not change its status. */
function writeJson(file: number, text: string): void {
  try {
    writeFileSync(file, text)
    closeSync(file)
  } catch (error) {
    complain('cgroup-oom run', (error as Error).message)
  }
}

interface Running extends RunCommand {
  /** Of --json, open. */
  file: number | undefined
}

interface Totals {
  ooms: number
  killed: number
  left: number
}

/** Prints how it ended; the exit status. */
function finish(options: Running, ran: Ran, totals: Totals): number {
  const { report, timedOut, ranNs, how } = ran
  const { ooms, killed, left } = totals
  const json = { ...report, durationMs: ranNs / 1e6, timedOut, ...totals }
  if (options.json !== undefined) {
    const text = `${JSON.stringify(json)}\n`
    if (options.file === undefined) process.stderr.write(text)
    else writeJson(options.file, text)
  }
  const { peak, limit = options.max } = report
  const parts = [
    `${how} after ${duration(ranNs)}`,
    timedOut ? 'timed out' : '',
    peak === undefined ? '' : `peak ${size(peak)} of ${size(limit)}`,
    ooms === 0
      ? ''
      : `out of memory ${count(ooms, 'time')}, ${count(killed, 'process', 'processes')} killed`,
    left === 0 ? '' : `${count(left, 'process', 'processes')} left behind and ended`,
  ]
  const print = printer(options)
  print(parts.filter(Boolean).join('; '))
  if (report.oom !== 'no') print(report.summary)
  if (timedOut) return TIMED_OUT
  return ran.status === 0 && options.failOnOom && report.oom === 'yes' ? KILLED : ran.status
}

const printer = (options: RunCommand) => (line: string) => {
  if (!options.quiet && options.json !== '') complain('cgroup-oom', line)
}

async function supervise(
  group: MemoryGroup,
  options: Running,
  signals: Forwarder,
): Promise<number> {
  const print = printer(options)
  let reporter: Reporter | undefined
  try {
    const { delayMs, fallback, policy } = options
    // Below a guarded group (a `run --delay` in another one) a v1 group is born with its killer disabled.
    // It is new: only the guard above can have disabled it, and that one goes on guarding the group, too.
    const how = { delayMs, takeOver: true, policy, ...(fallback === undefined ? {} : { fallback }) }
    reporter =
      delayMs > 0
        ? reportEpisodes(await group.guard(how), print)
        : await reportKills(group.path, print)
    if (signals.first !== undefined) throw new Interrupted(signals.first)

    const ran = await runIn(group, options, signals)
    // The last episode ends with the last member, a watch with the group: then all has been reported.
    const left = (await unlessGone(group.kill()))?.length ?? 0
    await reporter.dispose()
    await unlessGone(group.remove({ kill: true }))
    return finish(options, ran, { ...(await reporter.totals()), left })
  } finally {
    await reporter?.close()
    await unlessGone(group.remove({ kill: true }))
  }
}

async function observe(options: Running, signals: Forwarder): Promise<number> {
  const ran = await runIn(undefined, options, signals)
  return finish(options, ran, { ooms: 0, killed: 0, left: 0 })
}

async function runCommand(args: string[]): Promise<number> {
  const wanted = runOptions(args)
  const signals = new Forwarder()
  try {
    // Before the command runs: a report that cannot be written would come too late.
    const file = wanted.json ? openSync(wanted.json, 'w') : undefined
    const options: Running = { ...wanted, file }
    if (options.observe) return await observe(options, signals)
    const { name, parent: within, settle } = options
    const limits = options.max === Infinity ? {} : { max: options.max }
    await using own = await makeGroup({ name, limits, within, settle })
    return await supervise(own.group, options, signals)
  } catch (error) {
    if (error instanceof Interrupted) return statusOf(error.signal)
    complain('cgroup-oom run', (error as Error).message)
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
