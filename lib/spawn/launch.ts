// Starts a command through oom-launcher: child_process.spawn for the process and all that belongs
// to it, with two more descriptors than the caller requested, which the launcher's exec closes.
// Serves the contract's `spawn`: the same ChildProcess, in the group before its first instruction.
// On the environment's thread; nothing here waits for the launcher.
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { errnoName, fromNative, OomError } from '../base/errors.js'
import { binding } from '../native/addon.js'
import { programFile } from '../native/program.js'
import type { LaunchStage } from '../native/spawn.js'
import { findCommand, type Missing } from './find-command.js'
import { holdEvents, replaceError, type Held } from './hold.js'
import { closePassed, readPipe } from './status-pipe.js'

/** A command line that has been checked; shells are already part of it. */
export interface CommandLine {
  file: string
  /** With argv[0]. */
  argv: string[]
}

/** Where the command is to run, and how. */
export interface LaunchGroup {
  /** For messages; undefined: in no other group. */
  path: string | undefined
  /** The oom_score_adj to start with; undefined: as it is inherited. */
  score?: number | undefined
  /** Opens the group's cgroup.procs for writing, closed by an exec. To be closed by its caller. */
  openProcs?: () => number
}

// What cannot be executed by any user, by the error that it gives: starting these fails as the command would,
// and can start nothing, even if the command has come into being in the meantime.
const CANNOT_START: Record<Missing, string> = { ENOENT: '/proc/self/none', EACCES: '/' }

export function launch(line: CommandLine, group: LaunchGroup, options: SpawnOptions): ChildProcess {
  // libuv would give up privileges before the group is joined. Only root has any to give up.
  const drops = process.geteuid?.() === 0
  const { uid, gid } = options
  const otherUser = drops && uid !== undefined

  const missing = findCommand(line.file, options, otherUser)
  if (missing !== undefined) return asCommand(startNothing(missing, options), line)

  let launcher: string
  let fds: Descriptors
  try {
    launcher = programFile('oom-launcher')
    fds = openDescriptors(group)
  } catch (error) {
    const child = startNothing('ENOENT', options)
    replaceError(child, fromNative(error, group.path) as NodeJS.ErrnoException)
    return asCommand(child, line)
  }
  // Before the child's own streams, so that the loop serves it first: 'spawn' precedes all data.
  let held: Held | undefined
  const status = readPipe(fds.status, received => settle(held, received, line, group, launcher))
  const passed = [...fds.procs, fds.report]
  try {
    const stdio = stdioArray(options.stdio)
    const count = stdio.length
    stdio.push(fds.report, ...fds.procs)
    const become = drops ? `${id(uid)}:${id(gid)}` : '-:-'
    const procs = fds.procs.length === 0 ? '-' : count + 1
    const talk = `${procs}:${count}:${become}:${scoreWord(group.score)}`
    const child = spawn(launcher, [talk, line.file, ...line.argv], {
      ...options,
      ...(drops ? { uid: undefined, gid: undefined } : {}),
      stdio,
      argv0: 'oom-launcher',
      shell: false,
    } as SpawnOptions)
    // Node.js leaves it undefined when it has run out of descriptors.
    if (child.stdio as unknown) (child.stdio as unknown[]).length = count
    closePassed(passed)
    if (child.pid === undefined) status.destroy()
    else held = holdEvents(child)
    return asCommand(child, line)
  } catch (error) {
    status.destroy()
    for (const fd of passed) binding().closeFd(fd)
    throw error
  }
}

/** As the launcher reads it: from 0 on. */
export const scoreWord = (score: number | undefined): string =>
  score === undefined ? '-' : String(score + 1000)

interface Descriptors {
  /** One, or none. */
  procs: number[]
  status: number
  report: number
}

function openDescriptors({ openProcs }: LaunchGroup): Descriptors {
  const procs = openProcs === undefined ? [] : [openProcs()]
  try {
    const [status, report] = binding().statusPipe()
    return { procs, status, report }
  } catch (error) {
    for (const fd of procs) binding().closeFd(fd)
    throw error
  }
}

/** An id as the launcher reads it: unsigned, as the kernel has it. */
function id(value: number | undefined): string {
  return value === undefined || value === null ? '-' : String(value >>> 0)
}

/** A child that Node.js itself reports as not started, with its streams and working directory. */
function startNothing(missing: Missing, options: SpawnOptions): ChildProcess {
  return spawn(CANNOT_START[missing], [], {
    ...options,
    argv0: undefined,
    shell: false,
  } as SpawnOptions)
}

/** Shows the user's command. Node.js makes its errors from these, in the next tick. */
function asCommand(child: ChildProcess, { file, argv }: CommandLine): ChildProcess {
  return Object.assign(child, { spawnfile: file, spawnargs: argv })
}

/** The caller's stdio, as long as Node.js makes it. */
function stdioArray(stdio: SpawnOptions['stdio']): NonNullable<SpawnOptions['stdio'] & unknown[]> {
  const list = Array.isArray(stdio) ? Array.from(stdio) : Array.from({ length: 3 }, () => stdio)
  while (list.length < 3) list.push(undefined)
  return list
}

// Waits for the launcher's reports: that it has started, and nothing more if it has become the command (or
// died). A program that does not even report its start is not the launcher, whatever its exit status.
function settle(
  events: Held | undefined,
  received: Buffer | undefined,
  line: CommandLine,
  group: LaunchGroup,
  launcher: string,
): void {
  if (received === undefined) return events?.release()
  const [started, failed] = binding().launchWords(received)
  if (failed !== undefined) events?.fail(failure(failed, line, group))
  else if (started !== undefined) events?.release()
  else events?.failUnlessKilled(notStarted(launcher))
}

function notStarted(launcher: string): OomError {
  return new OomError(
    'ERR_LAUNCHER_MISSING',
    `'${launcher}' is not this version's launcher: it has ended without starting the command (install the package again)`,
    { path: launcher },
  )
}

function failure(
  { stage, errno }: { stage: LaunchStage; errno: number },
  line: CommandLine,
  group: LaunchGroup,
): NodeJS.ErrnoException {
  if (stage === 'join' || stage === 'score') {
    const file = stage === 'join' ? 'cgroup.procs' : '/proc/self/oom_score_adj'
    const native = Object.assign(new Error('write'), { errno, syscall: 'write', file })
    return fromNative(native, group.path) as NodeJS.ErrnoException
  }
  // As Node.js makes it.
  const code = errnoName(errno)
  const syscall = `spawn ${line.file}`
  return Object.assign(new Error(`${syscall} ${code}`), {
    errno,
    code,
    syscall,
    path: line.file,
    spawnargs: line.argv.slice(1),
  })
}
