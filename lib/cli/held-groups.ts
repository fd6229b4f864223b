// Groups whose killer is disabled (v2: that are held below their limit and marked so), and the processes
// that hold them: the guardians (processes named oom-guardian) and sentinels (processes with a thread
// oom-sentinel) that have the group's memory.oom_control (v2: memory.high) open for writing. Reads
// files and changes nothing.
//
// Processes of other pid namespaces are not visible from here, and those of other users only to root. The
// owner of a directory above may rename groups (v1) and remove them at any time. Each group is therefore
// read through one directory that stays open.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { binding } from '../native/addon.js'

/** A live process that releases the group when it must. */
export interface Holder {
  pid: number
  role: 'guardian' | 'sentinel'
}

export interface HeldGroup {
  path: string
  /** As GroupHandle.identity. */
  identity: string
  underOom: boolean
  members: number[]
  behind: Holder[]
  /** False: there are guardians or sentinels whose files this user may not see. */
  certain: boolean
}

// While a guard is armed or disposed, no process holds the group for a moment: read such groups again.
const SETTLE_MS = 100
const ATTEMPTS = 3

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

const numbers = (names: readonly string[] | undefined): number[] =>
  (names ?? []).map(Number).filter(Number.isInteger)

/** A directory that is open: `at` leads there, whatever is done to `path`. */
interface Opened {
  path: string
  at: string
  fd: number
}

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/** The directory and, with `recursive`, all below it, each open until the caller takes the next. */
function* groupsBelow(path: string, recursive: boolean, at = path): Generator<Opened> {
  const fd = attempt(() => openSync(at, DIRECTORY))
  if (fd === undefined) return
  try {
    const opened = { path, at: `/proc/self/fd/${fd}/.`, fd }
    yield opened
    if (!recursive) return
    for (const entry of attempt(() => readdirSync(opened.at, { withFileTypes: true })) ?? []) {
      if (!entry.isDirectory()) continue
      yield* groupsBelow(join(path, entry.name), true, `${opened.at}/${entry.name}`)
    }
  } finally {
    closeSync(fd)
  }
}

const V1 = 'memory.oom_control'
const V2 = 'memory.high'

const textOf = (path: string, file: string): string | undefined =>
  attempt(() => readFileSync(`${path}/${file}`, 'utf8'))

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

/** All guardians and sentinels that are visible. */
function holders(): Holder[] {
  return numbers(readdirSync('/proc')).flatMap((pid): Holder[] => {
    const commOf = (path: string) => attempt(() => readFileSync(path, 'utf8').trimEnd())
    if (commOf(`/proc/${pid}/comm`) === 'oom-guardian') return [{ pid, role: 'guardian' }]
    const tasks = attempt(() => readdirSync(`/proc/${pid}/task`)) ?? []
    const found = tasks.some(tid => commOf(`/proc/${pid}/task/${tid}/comm`) === 'oom-sentinel')
    return found ? [{ pid, role: 'sentinel' }] : []
  })
}

const identity = ({ dev, ino }: { dev: bigint; ino: bigint }) => `${dev}:${ino}`

/** The files that a process has open for writing; undefined if this user may not see them. */
function filesOf(pid: number): Set<string> | undefined {
  const at = `/proc/${pid}/fd`
  const fds = attempt(() => readdirSync(at))
  if (fds === undefined) return undefined
  const files = new Set<string>()
  for (const fd of fds) {
    // Stat only files of these names: a file may be in a user's own file system (FUSE), which need not
    // answer.
    const target = attempt(() => readlinkSync(join(at, fd)))
    if (target === undefined || ![V1, V2].includes(basename(target))) continue
    // The link's own mode says how the file was opened; its target is the open file itself.
    const writable = attempt(() => lstatSync(join(at, fd)).mode & 0o200)
    const file = writable ? attempt(() => statSync(join(at, fd), { bigint: true })) : undefined
    if (file !== undefined) files.add(identity(file))
  }
  return files
}

/** What is held below a path, with the identity of its control file. */
function heldBelow(path: string, recursive: boolean): { group: HeldGroup; control: string }[] {
  const found = []
  for (const { path: group, at, fd } of groupsBelow(path, recursive)) {
    if (!isHeld(at)) continue
    const control =
      attempt(() => statSync(`${at}/${V1}`, { bigint: true })) ??
      attempt(() => statSync(`${at}/${V2}`, { bigint: true }))
    if (control === undefined) continue
    found.push({
      group: {
        path: group,
        identity: identity(fstatSync(fd, { bigint: true })),
        underOom: isOutOfMemory(at),
        members: numbers(textOf(at, 'cgroup.procs')?.split('\n').filter(Boolean)),
        behind: [],
        certain: true,
      },
      control: identity(control),
    })
  }
  return found
}

function read(paths: readonly string[], recursive: boolean): HeldGroup[] {
  const held = paths.flatMap(path => heldBelow(path, recursive))
  if (held.length === 0) return []
  const open = holders().map(holder => ({ holder, files: filesOf(holder.pid) }))
  // A process that has ended in the meantime holds nothing.
  const hidden = open.some(one => !one.files && attempt(() => statSync(`/proc/${one.holder.pid}`)))
  return held.map(({ group, control }) => ({
    ...group,
    behind: open.filter(({ files }) => files?.has(control)).map(({ holder }) => holder),
    certain: !hidden,
  }))
}

/** The groups among these, and with `recursive` below them, whose killer is disabled. */
export async function heldGroups(
  paths: readonly string[],
  { recursive }: { recursive: boolean },
): Promise<HeldGroup[]> {
  for (let attempts = 1; ; attempts++) {
    const groups = read(paths, recursive)
    if (attempts === ATTEMPTS || !groups.some(isOrphan)) return groups
    await sleep(SETTLE_MS)
  }
}

/** No process holds it, as far as this user may see all that could. */
export const isOrphan = ({ behind, certain }: HeldGroup): boolean => behind.length === 0 && certain

/** 'guardian 12, sentinel 11', 'no live process' or 'unknown (…)'. */
export function holdersText({ behind, certain }: HeldGroup): string {
  if (behind.length > 0) return behind.map(({ role, pid }) => `${role} ${pid}`).join(', ')
  return certain ? 'no live process' : 'unknown (only root may see the guardians of other users)'
}
