// spawn(): child_process.spawn inside a group. This file is the public face, with Node's overloads.
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
import { invalidType } from './args.js'
import { binding } from './errors.js'
import { handleOf, MemoryGroup } from './group.js'
import { checkCommand } from './spawn/check.js'
import { launch } from './spawn/launch.js'

/** The group that a child is started in. */
export interface SpawnGroup {
  group: MemoryGroup
}

// What a tuple of stdio gives for one stream.
type End<How, Stream> = How extends StdioPipe ? Stream : null

/**
 * `child_process.spawn()` inside a group: same options, same `ChildProcess`, same errors, but the
 * process joins the group before the command's first instruction, so that nothing it allocates or
 * forks can escape. Works for a full group too: the start then waits until there is room.
 *
 * A small launcher joins the group, gives up privileges where `uid` and `gid` say so, and becomes
 * the command, which keeps its pid and sees the descriptors, environment and session that
 * `child_process.spawn()` gives. Until the command runs, the event loop stays alive. Differences:
 *
 * - `'spawn'` comes when the command runs, not when it has been forked; all else comes after it.
 * - What only shows when the command is executed (an unknown interpreter, a `uid` that may not be
 *   taken) is emitted as `'error'` where `child_process.spawn()` throws some of it, and `pid` is
 *   the launcher's until then. A command that is not there has no `pid`, as ever.
 * - `args` is not optional, and its elements are strings.
 *
 * A group that cannot be joined (removed, or not delegated to this user) is an `'error'` that is an
 * `OomError`, followed by `'close'`.
 *
 * @throws TypeError or RangeError as `child_process.spawn()` does; OomError ERR_CLOSED
 * @see cgroups(7), execvp(3)
 */
export function spawn(
  command: string,
  args: readonly string[],
  options: SpawnOptionsWithoutStdio & SpawnGroup,
): ChildProcessWithoutNullStreams
export function spawn<
  In extends StdioNull | StdioPipe,
  Out extends StdioNull | StdioPipe,
  Err extends StdioNull | StdioPipe,
>(
  command: string,
  args: readonly string[],
  options: SpawnOptionsWithStdioTuple<In, Out, Err> & SpawnGroup,
): ChildProcessByStdio<End<In, Writable>, End<Out, Readable>, End<Err, Readable>>
export function spawn(
  command: string,
  args: readonly string[],
  options: SpawnOptions & SpawnGroup,
): ChildProcess
export function spawn(
  command: string,
  args: readonly string[],
  options: SpawnOptions & SpawnGroup,
): ChildProcess {
  if (typeof options !== 'object' || options === null) {
    throw invalidType('options', 'of type object', options)
  }
  const { group, ...rest } = options
  if (!(group instanceof MemoryGroup)) {
    throw invalidType('options.group', 'an instance of MemoryGroup', group)
  }
  const line = checkCommand(command, args, rest)
  const handle = handleOf(group)
  return launch(line, { path: group.path, openProcs: () => binding().openProcs(handle) }, rest)
}
