// native/binding/group.cc as TypeScript sees it. Sizes are bytes, Infinity for no limit.
import type { CgroupVersion, MemoryLimits, OomCounters } from '../../types/limits.js'

/** Limits to write; what is absent stays as it is. */
export type LimitChange = Partial<Record<'max' | 'high' | 'swapMax', number>> & {
  oomGroup?: boolean
}

/** What became of a signal. */
export interface Signalled {
  pids: number[]
  /** The number of members of other PID namespaces, which it could not be sent to. */
  unseen: number
  /** No member is left, as far as the kernel lists them. */
  empty: boolean
  /** But members that it does not list may be: anonymous memory is charged (v1). */
  charged: boolean
}

export interface Occupied {
  /** There are members that can be named. */
  members: boolean
  /** There are groups below. */
  below: boolean
  /** Members of other PID namespaces. */
  unseen: number
  /** If there were such, they would be counted. */
  everybody: boolean
}

/** Empty until `open` or `create` has resolved and after `close`; then only those may be called. */
export interface GroupHandle {
  open(path: string): Promise<void>
  create(path: string, limits: LimitChange): Promise<void>
  /** As `create`, directly below another handle's group. */
  createBelow(parent: GroupHandle, name: string, limits: LimitChange): Promise<void>
  /** Makes `to`, an empty handle, stand for the same group. Returns it. */
  copy(to: GroupHandle): GroupHandle
  close(): void
  readonly path: string
  readonly version: CgroupVersion
  readonly isRoot: boolean
  /** 'device:inode' of the directory: the same for two handles of one group, never for two groups. */
  readonly identity: string
  usage(): Promise<number>
  peak(): Promise<number>
  limits(): Promise<MemoryLimits>
  setLimits(change: LimitChange): Promise<void>
  counters(): Promise<OomCounters>
  reclaim(bytes: number): Promise<number>
  pids(recursive: boolean): Promise<number[]>
  add(pid: number): Promise<void>
  /** `except`: a pid that is left out, or 0. */
  signal(signal: number, recursive: boolean, except: number): Promise<Signalled>
  /** One round of killing; to be repeated until `empty`, or until some are `unseen`. */
  kill(recursive: boolean, giveKillerBack: boolean): Promise<Signalled>
  /** To be repeated until true. */
  freeze(): Promise<boolean>
  thaw(): Promise<boolean>
  /** rmdir(2), `tree`: of all groups below first. */
  remove(tree: boolean): Promise<void>
  /** What keeps the group from being removed. */
  occupied(): Promise<Occupied>
  /** Enables the kernel's killer where it is disabled; nothing below the group changes. */
  giveKillerBack(): Promise<void>
}

/** A cgroup mount that can be reached. */
export interface Mount {
  version: CgroupVersion
  /** The directory of the hierarchy that is mounted: '/', but in containers without a namespace. */
  root: string
  path: string
  readOnly: boolean
  /** Of the file system, with commas between them: v1 names its controllers there. */
  options: string
}

export interface Hierarchies {
  mounts: Mount[]
  /** The one that is used, chosen as in native/core/memcg/hierarchy.h. */
  memory: Mount | null
  /** Absolute path of the group that this process is charged to. */
  self: string | null
}

export interface GroupBinding {
  GroupHandle: new () => GroupHandle
  /** Whether it is a handle of this addon: another copy of it has other ones. */
  isGroupHandle(value: unknown): boolean
  /** Rejects with ERR_CGROUP_UNSUPPORTED where no memory controller is mounted. */
  memoryMount(): Promise<{ path: string; version: CgroupVersion }>
  /** Absolute path of the group that a process (0: this one) is in. */
  memoryGroupOf(pid: number): Promise<string>
  /** For probe(): what can be reached, and what the core makes of it. */
  hierarchies(): Hierarchies
  /** Whether the v2 group carries the mark of a hold that can be believed (native/core/memcg/v2_mark.h). */
  isMarked(path: string): boolean
}
