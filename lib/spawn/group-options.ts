// groupOptions(): the launcher for other spawners, which take a command prefix or an execPath.
import type { MemoryGroup } from '../../types/group.js'
import { integer, options as objectOf } from '../base/args.js'
import { handleOf } from '../handle/handle.js'
import { programFile } from '../native/program.js'
import { scoreWord } from './launch.js'
import { startingScore } from './score.js'

export interface GroupOptions {
  /** As with `spawn()`. */
  oomScoreAdj?: number | undefined
}

/** A command that becomes the one that follows its arguments, in the group. */
export interface GroupLauncher {
  /** Absolute path of oom-launcher. */
  command: string
  /** What comes before the command and its own arguments. */
  args: string[]
  /**
   * The same for what hands options on to `child_process.fork()`, as pools of processes do: Node.js as this process
   * runs it, with its own options. Fewer or other ones: `[...args, process.execPath, …]`.
   */
  fork: { execPath: string; execArgv: string[] }
}

/** What `child_process.fork()` hands down: all but `-e CODE`, which would run again in the place of the module. */
export function inheritedExecArgv(): string[] {
  const { _eval: code } = process as { _eval?: string }
  const list = [...process.execArgv]
  const at = code === undefined ? -1 : list.lastIndexOf(code)
  if (at > 0) list.splice(at - 1, 2)
  return list
}

/**
 * What another spawner needs to start commands in a group: `command` with `args`, and after those the
 * command itself with its arguments; or `fork`, for one that takes options of `child_process.fork()`. What it starts is in the group before its first instruction, and
 * keeps its pid, descriptors and environment, as with `spawn()`.
 *
 *     execa(command, [...args, 'sort', 'big.txt'])
 *     new Worker('queue', file, { workerForkOptions: groupOptions(group).fork })
 *
 * Any number of times, for as long as the group is there, whether this object is closed or not. If it is
 * gone, nothing is started, even if another one has its name: the launcher prints why and ends with 125;
 * with 126 or 127 for a command that cannot be executed or is not there. A spawner's `uid` would be taken before the
 * group is joined, which that user may not do: start the command through setpriv(1) instead.
 *
 * @throws ERR_CLOSED; ERR_LAUNCHER_MISSING; EACCES for an `oomScoreAdj` that takes CAP_SYS_RESOURCE
 */
export function groupOptions(group: MemoryGroup, options?: GroupOptions): GroupLauncher {
  const { oomScoreAdj } = objectOf('options', options)
  if (oomScoreAdj !== undefined) integer('options.oomScoreAdj', oomScoreAdj, -1000, 1000)
  const { identity, path } = handleOf(group)
  const score = scoreWord(startingScore(oomScoreAdj))
  const command = programFile('oom-launcher')
  const args = [`--group=${identity}:${score}:${path}`]
  const execArgv = [...args, process.execPath, ...inheritedExecArgv()]
  return { command, args, fork: { execPath: command, execArgv } }
}
