// Where a job of run() lives: in a group of its own, where one can be made, else where this process is; and its guard.
import { join } from 'node:path'
import type { MemoryGroup as Group, OomGuard } from '../../types/group.js'
import type { PolicyStep } from '../../types/guard.js'
import { debug } from '../base/diagnostics.js'
import type { OomError } from '../base/errors.js'
import { createJobGroup } from '../group/job-groups.js'
import { MemoryGroup } from '../group/memory-group.js'

/** Why no group can be made here, which is no failure of the job. */
const NO_PLACE = new Set([
  'ERR_NO_HOME',
  'ERR_GROUP_OCCUPIED',
  'ERR_CGROUP_UNSUPPORTED',
  'EROFS',
  'EACCES',
  'EPERM',
  'EBUSY',
])
// A removed group's files.
const GONE = new Set(['ENOENT', 'ENODEV'])

export interface JobLimits {
  max: number
  swap: boolean
}

export interface JobGuard {
  delayMs: number
  policy?: readonly PolicyStep[]
}

export interface JobPlace {
  /** undefined: where this process is. */
  group: MemoryGroup | undefined
  /** Why that is so. */
  reason?: string
  guard: OomGuard | undefined
  /** With what is left in the group. */
  leave(): Promise<void>
}

let home: Promise<MemoryGroup> | undefined

// Kept: what home() has made for one job serves the next.
function findHome(): Promise<MemoryGroup> {
  home ??= MemoryGroup.home().catch((error: unknown) => {
    home = undefined
    throw error
  })
  return home
}

let warned = false

function warn({ message }: OomError): void {
  if (warned) return
  warned = true
  process.emitWarning(
    `a job of run() has no limit, since no group can be made for it: ${message}`,
    {
      type: 'JobLimitWarning',
      code: 'OOM_JOB_UNLIMITED',
    },
  )
}

async function ownGroup(
  parent: Group | undefined,
  limits: JobLimits,
): Promise<MemoryGroup | OomError> {
  const { max, swap } = limits
  try {
    const { path } = parent ?? (await findHome())
    return await createJobGroup(path, 'job', name =>
      MemoryGroup.create(join(path, name), max === Infinity ? { swap } : limits),
    )
  } catch (error) {
    if (parent !== undefined || !NO_PLACE.has((error as OomError).code)) throw error
    debug('a job has no group of its own: %s', error)
    if (max !== Infinity) warn(error as OomError)
    return error as OomError
  }
}

// One guard serves all jobs that are where this process is: whose options count is chance, and no two would agree.
let shared: { guard: Promise<OomGuard>; group: MemoryGroup; jobs: number } | undefined

async function shareGuard(options: JobGuard): Promise<JobPlace> {
  if (shared === undefined) {
    const group = await MemoryGroup.of('self')
    // Another job may have been as far meanwhile.
    if (shared !== undefined) await group.close()
    else shared = { group, jobs: 0, guard: group.guard({ ...options, hold: { by: 'signals' } }) }
  }
  const mine = shared
  mine.jobs++
  const leave = async () => {
    if (--mine.jobs > 0) return
    if (shared === mine) shared = undefined
    await mine.guard.then(guard => guard.dispose()).catch(() => {})
    await mine.group.close()
  }
  try {
    return { group: undefined, guard: await mine.guard, leave }
  } catch (error) {
    await leave()
    throw error
  }
}

async function removed(group: MemoryGroup): Promise<void> {
  try {
    await group.remove({ kill: true })
  } catch (error) {
    if (!GONE.has((error as OomError).code)) throw error
  } finally {
    await group.close()
  }
}

export async function placeFor(
  parent: Group | undefined,
  limits: JobLimits,
  options: JobGuard,
): Promise<JobPlace> {
  const group = await ownGroup(parent, limits)
  const guards = options.delayMs > 0
  if (!(group instanceof MemoryGroup)) {
    const reason = group.message
    if (guards) return { ...(await shareGuard(options)), reason }
    return { group: undefined, reason, guard: undefined, leave: async () => {} }
  }
  try {
    // Below a guarded group a v1 group is born with its killer disabled; it is new, nobody else can have done it.
    const guard = guards ? await group.guard({ ...options, takeOver: true }) : undefined
    const leave = async () => {
      try {
        await guard?.dispose()
      } finally {
        await removed(group)
      }
    }
    return { group, guard, leave }
  } catch (error) {
    await removed(group)
    throw error
  }
}
