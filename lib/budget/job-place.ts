// Where a job of a budget runs: in a group of its own, or, where none can be made, beside this process.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { MemoryGroup } from '../../types/group.js'
import type { OomError } from '../base/errors.js'
import { binding } from '../native/addon.js'
import { spawn } from '../spawn/spawn.js'

/** Page cache that the kernel takes back before the group runs out of memory does not count as used. */
export async function used(group: MemoryGroup): Promise<number> {
  const [usage, stat] = await Promise.all([
    group.usage(),
    readFile(join(group.path, 'memory.stat'), 'utf8').catch(() => ''),
  ])
  const total = group.version === 1 ? 'total_' : ''
  const cache = ['inactive_file', 'active_file'].map(
    name => new RegExp(`^${total}${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? '0',
  )
  return Math.max(usage - cache.reduce((sum, bytes) => sum + Number(bytes), 0), 0)
}

/** A group that another program has removed, or its own job's end has closed, needs nothing more. */
async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!['ENOENT', 'ENODEV', 'ERR_CLOSED'].includes((error as OomError).code)) throw error
  }
}

export interface JobPlace {
  /** Of the job, once it has been started. */
  readonly pid: number | undefined
  start: (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess
  /** Bytes that it uses now. */
  usage: () => Promise<number>
  /** Ends all of its processes. */
  kill: () => Promise<void>
  /** Its peak, bytes, where that is known. */
  end: () => Promise<number | undefined>
}

export function inGroup(group: MemoryGroup): JobPlace {
  let child: ChildProcess | undefined
  return {
    get pid() {
      return child?.pid
    },
    start(command, args, options) {
      child = spawn(command, args, { ...options, group })
      return child
    },
    usage: () => used(group),
    async kill() {
      // It may not have joined the group yet.
      child?.kill('SIGKILL')
      await unlessGone(group.kill({ recursive: true }))
    },
    async end() {
      try {
        const peak = await group.peak().catch(() => undefined)
        await unlessGone(group.remove({ kill: true }))
        return peak
      } finally {
        await group.close()
      }
    },
  }
}

/** Whether this process is in the group or in one below it. */
export function isInside({ path }: MemoryGroup): boolean {
  const { self } = binding().hierarchies()
  return self !== null && `${self}/`.startsWith(`${path}/`)
}

/**
 * A session of its own, so that all of it can be signalled; the kernel is to take it before this process. In the group
 * of this process, or in another one.
 */
export function beside(group?: MemoryGroup): JobPlace {
  let child: ChildProcess | undefined
  let peak = 0
  const own = group === undefined ? {} : { group }
  const rss = async (): Promise<number> => {
    const status = await readFile(`/proc/${child?.pid}/status`, 'utf8').catch(() => '')
    const bytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
    peak = Math.max(peak, bytes)
    return bytes
  }
  const kill = async (): Promise<void> => {
    if (child?.pid === undefined) return
    child.kill('SIGKILL')
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  return {
    get pid() {
      return child?.pid
    },
    start(command, args, options) {
      child = spawn(command, args, { ...options, detached: true, oomScoreAdj: 500, ...own })
      return child
    },
    usage: rss,
    kill,
    async end() {
      await kill()
      return peak === 0 ? undefined : peak
    },
  }
}
