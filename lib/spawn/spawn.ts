// spawn(): child_process.spawn inside a group. This file is the public face, with Node's overloads.
import { spawn as plainSpawn } from 'node:child_process'
import type {
  ChildProcess,
  ChildProcessByStdio,
  ChildProcessWithoutNullStreams,
  SpawnOptions,
  SpawnOptionsWithoutStdio,
  SpawnOptionsWithStdioTuple,
  StdioNull,
  StdioPipe,
} from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { MemoryGroup as Group } from '../../types/group.js'
import { boolean, integer, invalidType, invalidValue } from '../base/args.js'
import { ownError } from '../base/errors.js'
import { MemoryGroup, sameGroup } from '../group/memory-group.js'
import { handleOf } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import { argsAndOptions, checkCommand } from './check.js'
import { GroupKiller } from './kill-group.js'
import { launch } from './launch.js'
import { startingScore } from './score.js'
import { noteStart } from './started.js'

/** The group that a child is started in, and what child_process knows nothing of. */
export interface SpawnGroup {
  /** Default: the child stays where this process is, as with `child_process.spawn()`. */
  group?: Group | undefined
  /**
   * Whether `timeout` and `signal` end the whole group: `killSignal` goes to all its members, those of
   * groups below included, and what is left of them when the command has ended is killed (SIGKILL).
   * Default false: to the child alone, as with `child_process.spawn()`; what it has started lives on.
   * `child.kill()` is for the child alone in any case, `group.kill()` for all.
   *
   * Only with a group, and not for one that this process is in: ERR_SELF_IN_GROUP.
   */
  killGroup?: boolean | undefined
  /**
   * The oom_score_adj that the child has at its first instruction, in a group or not, -1000 to 1000. Above
   * that of this process (`1000`: before all others) the kernel takes the child first. Default: what this
   * process had before `protect()`, or has. Lowering it needs CAP_SYS_RESOURCE, but back to where it was
   * before it was raised; at -1000 no killer takes the child.
   */
  oomScoreAdj?: number | undefined
}

// What a tuple of stdio gives for one stream.
type End<How, Stream> = How extends StdioPipe ? Stream : null

/**
 * `child_process.spawn()` inside a group: same options, same `ChildProcess`, same errors, but the
 * process joins the group before the command's first instruction, so that nothing it allocates or
 * forks can escape. Works for a full group too: the start then waits until there is room.
 *
 * A small launcher joins the group, drops privileges where `uid` and `gid` are given, and becomes
 * the command, which keeps its pid and sees the descriptors, environment and session that
 * `child_process.spawn()` gives. Until the command runs, the event loop stays alive. Differences:
 *
 * - `'spawn'` comes when the command runs, not when it has been forked; all else comes after it.
 * - What only shows when the command is executed (an unknown interpreter, a `uid` that may not be
 *   taken) is emitted as `'error'` where `child_process.spawn()` throws some of it, and `pid` is
 *   the launcher's until then. A command that is not there has no `pid`, as ever.
 * - The elements of `args` are strings.
 * - After `protect()` the child starts with the oom_score_adj from before.
 *
 * `timeout` and `signal` end the child alone, as in Node.js, unless `killGroup` is set.
 *
 * Without `group` it is `child_process.spawn()`, and goes through the launcher only for an
 * `oomScoreAdj`, or after `protect()`.
 *
 * A group that cannot be joined (removed, or not delegated to this user), and a launcher that cannot
 * be executed (it has lost its execute permission, or is not there), is an `'error'` that is an
 * `OomError`, followed by `'close'`.
 *
 * @throws TypeError or RangeError as `child_process.spawn()` does; OomError ERR_CLOSED;
 * ERR_SELF_IN_GROUP with `killGroup`; EACCES for an `oomScoreAdj` that takes CAP_SYS_RESOURCE, before
 * anything is started
 * @see cgroups(7), execvp(3)
 */
export function spawn(
  command: string,
  options?: SpawnOptionsWithoutStdio & SpawnGroup,
): ChildProcessWithoutNullStreams
export function spawn<
  In extends StdioNull | StdioPipe,
  Out extends StdioNull | StdioPipe,
  Err extends StdioNull | StdioPipe,
>(
  command: string,
  options: SpawnOptionsWithStdioTuple<In, Out, Err> & SpawnGroup,
): ChildProcessByStdio<End<In, Writable>, End<Out, Readable>, End<Err, Readable>>
export function spawn(command: string, options: SpawnOptions & SpawnGroup): ChildProcess
export function spawn(
  command: string,
  args?: readonly string[],
  options?: SpawnOptionsWithoutStdio & SpawnGroup,
): ChildProcessWithoutNullStreams
export function spawn<
  In extends StdioNull | StdioPipe,
  Out extends StdioNull | StdioPipe,
  Err extends StdioNull | StdioPipe,
>(
  command: string,
  args: readonly string[] | undefined,
  options: SpawnOptionsWithStdioTuple<In, Out, Err> & SpawnGroup,
): ChildProcessByStdio<End<In, Writable>, End<Out, Readable>, End<Err, Readable>>
export function spawn(
  command: string,
  args: readonly string[] | undefined,
  options: SpawnOptions & SpawnGroup,
): ChildProcess
export function spawn(
  command: string,
  second?: readonly string[] | (SpawnOptions & SpawnGroup),
  third?: SpawnOptions & SpawnGroup,
): ChildProcess {
  const { args, options: given } = argsAndOptions(second, third)
  const options = given === undefined ? {} : (given as SpawnOptions & SpawnGroup)
  if (typeof options !== 'object' || options === null) {
    throw invalidType('options', 'of type object', options)
  }
  const { group, killGroup, oomScoreAdj, ...rest } = options
  if (group !== undefined && !(group instanceof MemoryGroup)) {
    throw invalidType('options.group', 'an instance of MemoryGroup', group)
  }
  const line = checkCommand(command, args, rest)
  const wholeGroup = boolean('options.killGroup', killGroup, false)
  if (wholeGroup && group === undefined) {
    throw invalidValue('options.killGroup', "needs 'options.group'", killGroup)
  }
  const place = placeOf(group, oomScoreAdj)
  if (place === undefined) return plainSpawn(command, args as readonly string[], rest)
  if (wholeGroup && isInside(group!)) throw ownError('ERR_SELF_IN_GROUP', group!.path)
  const killer = wholeGroup ? new GroupKiller(sameGroup(group!), rest) : undefined
  try {
    const child = launch(line, place, rest)
    if (group !== undefined) noteStart(child, group)
    killer?.follow(child)
    return child
  } catch (error) {
    killer?.cancel()
    throw error
  }
}

/** Where the launcher is to start it; undefined: nothing is left for it to do. */
function placeOf(group: Group | undefined, oomScoreAdj: number | undefined) {
  if (oomScoreAdj !== undefined) integer('options.oomScoreAdj', oomScoreAdj, -1000, 1000)
  const handle = group === undefined ? undefined : handleOf(group, 'options.group')
  const score = startingScore(oomScoreAdj)
  if (handle === undefined && score === undefined) return undefined
  return {
    path: group?.path,
    score,
    ...(handle === undefined ? {} : { openProcs: () => binding().openProcs(handle) }),
  }
}

/** Whether this process is in the group or in one below it. */
function isInside({ path }: Group): boolean {
  const { self } = binding().hierarchies()
  return self !== null && `${self}/`.startsWith(`${path}/`)
}
