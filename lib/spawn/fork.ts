// fork(): child_process.fork in a group, through the launcher, which keeps the channel's descriptor and the pid.
import { fork as plainFork, type ChildProcess, type ForkOptions } from 'node:child_process'
import type { MemoryGroup as Group } from '../../types/group.js'
import { invalidType, options as objectOf } from '../base/args.js'
import { MemoryGroup } from '../group/memory-group.js'
import { groupOptions, inheritedExecArgv } from './group-options.js'
import { noteStart } from './started.js'

/** `child_process.fork()`'s own options, the group and the score. */
export interface ForkGroupOptions extends ForkOptions {
  /** Default: the child stays where this process is. */
  group?: Group | undefined
  /** As with `spawn()`; only with a group. */
  oomScoreAdj?: number | undefined
}

/**
 * `child_process.fork()` inside a group: same options, same channel, same `ChildProcess`, but the process joins the
 * group before Node.js starts. Without `group` it is `child_process.fork()`. A group that is gone shows as an end with
 * status 125, as with {@link groupOptions}; `uid` and `gid`, which would be taken before the group is joined, are refused
 * with a group.
 *
 * @throws as `child_process.fork()` and {@link groupOptions} do
 */
export function fork(
  modulePath: string | URL,
  args?: readonly string[],
  options?: ForkGroupOptions,
): ChildProcess {
  const { group, oomScoreAdj, ...rest } = objectOf('options', options)
  if (group === undefined) return plainFork(modulePath, args ?? [], rest)
  if (!(group instanceof MemoryGroup)) {
    throw invalidType('options.group', 'an instance of MemoryGroup', group)
  }
  for (const id of ['uid', 'gid'] as const) {
    if (rest[id] !== undefined)
      throw invalidType(`options.${id}`, 'undefined with a group', rest[id])
  }
  const launcher = groupOptions(group, oomScoreAdj === undefined ? {} : { oomScoreAdj })
  const { execPath = process.execPath, execArgv = inheritedExecArgv() } = rest
  const child = plainFork(modulePath, args ?? [], {
    ...rest,
    execPath: launcher.command,
    execArgv: [...launcher.args, execPath, ...execArgv],
  })
  noteStart(child, group)
  return child
}
