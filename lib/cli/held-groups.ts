// Groups whose killer is disabled (v2: that are held below their limit and marked so), and who is behind
// them: the guardians (processes named oom-guardian) and sentinels (processes with a thread
// oom-sentinel) that have the group's memory.oom_control (v2: memory.high) open for writing. Reads
// files and changes nothing.
//
// Only what this process may see is seen: processes of other pid namespaces are not, and those of
// other users only as root.
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { binding } from '../errors.js'

/** A live process that gives the killer back when it must. */
export interface Keeper {
  pid: number
  role: 'guardian' | 'sentinel'
}

export interface HeldGroup {
  path: string
  underOom: boolean
  members: number[]
  behind: Keeper[]
  /** False: there are guardians or sentinels whose files this user may not look at. */
  certain: boolean
}

// A group that is being given to a guard, or taken from one, has nobody behind it for a moment.
const SETTLE_MS = 100
const LOOKS = 3

function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

const numbers = (names: readonly string[] | undefined): number[] =>
  (names ?? []).map(Number).filter(Number.isInteger)

/** The directory and, with `recursive`, all below it. */
function* groupsBelow(path: string, recursive: boolean): Generator<string> {
  yield path
  if (!recursive) return
  for (const entry of attempt(() => readdirSync(path, { withFileTypes: true })) ?? []) {
    if (entry.isDirectory()) yield* groupsBelow(join(path, entry.name), true)
  }
}

const V1 = 'memory.oom_control'
const V2 = 'memory.high'

const textOf = (path: string, file: string): string | undefined =>
  attempt(() => readFileSync(join(path, file), 'utf8'))

/** Whether its killer is disabled, or it is held. */
export function isHeld(path: string): boolean {
  const control = textOf(path, V1)
  if (control !== undefined) return /^oom_kill_disable 1$/m.test(control)
  return textOf(path, V2) !== undefined && binding().isMarked(path)
}

/** Whether a held group's members wait for memory. */
export function isOutOfMemory(path: string): boolean {
  const control = textOf(path, V1)
  if (control !== undefined) return /^under_oom 1$/m.test(control)
  return Number(textOf(path, 'memory.current')) >= Number(textOf(path, V2))
}

/** Guardians and sentinels that are there at all. */
function keepers(): Keeper[] {
  return numbers(readdirSync('/proc')).flatMap((pid): Keeper[] => {
    const commOf = (path: string) => attempt(() => readFileSync(path, 'utf8').trimEnd())
    if (commOf(`/proc/${pid}/comm`) === 'oom-guardian') return [{ pid, role: 'guardian' }]
    const tasks = attempt(() => readdirSync(`/proc/${pid}/task`)) ?? []
    const found = tasks.some(tid => commOf(`/proc/${pid}/task/${tid}/comm`) === 'oom-sentinel')
    return found ? [{ pid, role: 'sentinel' }] : []
  })
}

const identity = ({ dev, ino }: { dev: bigint; ino: bigint }) => `${dev}:${ino}`

/** Who has which file open for writing; undefined for a process that may not be looked at. */
function filesOf(pid: number): Set<string> | undefined {
  const at = `/proc/${pid}/fd`
  const fds = attempt(() => readdirSync(at))
  if (fds === undefined) return undefined
  const files = new Set<string>()
  for (const fd of fds) {
    // The link's own mode says how the file was opened; its target is the open file itself.
    const writable = attempt(() => lstatSync(join(at, fd)).mode & 0o200)
    const file = writable ? attempt(() => statSync(join(at, fd), { bigint: true })) : undefined
    if (file !== undefined) files.add(identity(file))
  }
  return files
}

function look(paths: readonly string[], recursive: boolean): HeldGroup[] {
  const held = new Set(paths.flatMap(path => [...groupsBelow(path, recursive)]).filter(isHeld))
  if (held.size === 0) return []
  const open = keepers().map(keeper => ({ keeper, files: filesOf(keeper.pid) }))
  // A process that has ended meanwhile is behind nothing.
  const hidden = open.some(one => !one.files && attempt(() => statSync(`/proc/${one.keeper.pid}`)))
  return [...held].flatMap(path => {
    const file =
      attempt(() => statSync(join(path, V1), { bigint: true })) ??
      attempt(() => statSync(join(path, V2), { bigint: true }))
    const members = attempt(() => readFileSync(join(path, 'cgroup.procs'), 'utf8'))
    if (file === undefined) return []
    return {
      path,
      underOom: isOutOfMemory(path),
      members: numbers(members?.split('\n').filter(Boolean)),
      behind: open.filter(({ files }) => files?.has(identity(file))).map(({ keeper }) => keeper),
      certain: !hidden,
    }
  })
}

/** The groups among these, and with `recursive` below them, whose killer is disabled. */
export async function heldGroups(
  paths: readonly string[],
  { recursive }: { recursive: boolean },
): Promise<HeldGroup[]> {
  for (let looks = 1; ; looks++) {
    const groups = look(paths, recursive)
    if (looks === LOOKS || !groups.some(isOrphan)) return groups
    await sleep(SETTLE_MS)
  }
}

/** Nobody is behind it, for all that can be seen. */
export const isOrphan = ({ behind }: HeldGroup): boolean => behind.length === 0

/** 'guardian 12, sentinel 11', 'nobody' or 'unknown (…)'. */
export function behindText({ behind, certain }: HeldGroup): string {
  if (behind.length > 0) return behind.map(({ role, pid }) => `${role} ${pid}`).join(', ')
  return certain ? 'nobody' : 'unknown (only root may look at the guardians of others)'
}
