// MemoryGroup: what the package is about. Arguments are checked here, the work is the core's
// (native/core/memcg/group.cc), on libuv's thread pool. Whatever has to be waited for (members that die,
// tasks that freeze) is waited for here, between calls: no pool thread is ever held by a group.
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bytes } from '../../types/common.js'
import type {
  AddOptions,
  CgroupVersion,
  KillOptions,
  MemoryLimits,
  MemoryLimitsInit,
  OomCounters,
  PidsOptions,
  RemoveOptions,
} from '../../types/group.js'
import {
  boolean,
  groupPath,
  invalidType,
  options as checkOptions,
  processId,
  signalNumber,
} from '../base/args.js'
import { brand, GROUP, hasBrand, isInstance } from '../base/brand.js'
import { bytes, optionalBytes } from '../base/bytes.js'
import type { GuardOptions, OomGuard } from '../../types/guard.js'
import type {
  EventIterator,
  OomWatch,
  PressureEvent,
  PressureOptions,
  SubscriptionOptions,
  UsageEvent,
  WatchOptions,
} from '../../types/watch.js'
import { fromNative, OomError, ownError, unseenMembers } from '../base/errors.js'
import { guardGroup } from '../guard/native-guard.js'
import { absoluteGroupPath, memoryGroupOf } from '../handle/hierarchy.js'
import type { GroupHandle, LimitChange } from '../native/group.js'
import { packageRoot } from '../native/load.js'
import { watchPressure, watchUsage } from '../watch/pressure.js'
import { oddToMove } from './process-check.js'
import { VERSION } from '../base/version.js'
import { binding } from '../native/addon.js'
import { watchGroup } from '../watch/watch.js'

// How long members may take to stop before freeze() gives up, and dying ones may keep an empty group
// busy before remove() does.
const PATIENCE_MS = 10_000

// How long memory may be charged to a v1 group where not all members are listed before somebody is
// taken to be there: the kernel's statistics can be two seconds old.
const UNLISTED_MS = 3000

// What a removed group's files answer.
const GONE = ['ENOENT', 'ENODEV']

let adopt: (handle: GroupHandle) => MemoryGroup

/**
 * One memory cgroup: cgroups(7). It is held by a descriptor of its directory, so it stays this very
 * group: once it is removed, calls reject with ENOENT or ENODEV, also when another one of the same
 * name exists. Any number of objects may stand for one group.
 *
 * Every method rejects with an {@link OomError}; arguments that are not allowed with a TypeError or
 * RangeError, before anything is touched.
 */
export class MemoryGroup implements AsyncDisposable {
  #handle: GroupHandle | undefined
  /** Absolute path of its directory when it was opened. */
  readonly path: string
  readonly version: CgroupVersion

  static {
    adopt = handle => new MemoryGroup(handle)
    const origin = function (this: MemoryGroup): Origin {
      return { handle: this.#open(), version: VERSION, directory: packageRoot() }
    }
    brand(this.prototype, GROUP, origin)
  }

  /** Also those of another copy of this package: ESM and CommonJS. */
  static [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(this, MemoryGroup, GROUP, value)
  }

  private constructor(handle: GroupHandle) {
    if (!(handle instanceof binding().GroupHandle)) {
      throw Object.assign(new TypeError('Illegal constructor: use MemoryGroup.open()'), {
        code: 'ERR_ILLEGAL_CONSTRUCTOR',
      })
    }
    this.#handle = handle
    this.path = handle.path
    this.version = handle.version
  }

  /**
   * Opens an existing group.
   *
   * @param path an absolute directory, or one relative to the memory hierarchy's mount (`'.'`: its
   * root); no `..`, no symbolic links on the way
   * @throws ENOENT; ERR_NOT_A_MEMORY_CGROUP; ERR_CGROUP_UNSUPPORTED
   */
  static async open(path: string): Promise<MemoryGroup> {
    return adopt(await fill(groupPath('path', path), (handle, at) => handle.open(at)))
  }

  /**
   * Makes a group, mkdir(2), and sets its limits. If a limit is refused, nothing is left behind.
   *
   * v2: its parent is made to give groups below it the memory controller, which needs leave to write its
   * cgroup.subtree_control, and a parent without processes of its own (EBUSY).
   *
   * @param path as with {@link open}; its parent must be a memory group
   * @throws EEXIST; ENOENT (no parent) and what {@link setLimits} throws
   */
  static async create(path: string, limits?: MemoryLimitsInit): Promise<MemoryGroup> {
    const checked = groupPath('path', path)
    const change = limitChange(limits === undefined ? {} : limits)
    return adopt(await fill(checked, (handle, at) => handle.create(at, change)))
  }

  /**
   * The group that a process is in: /proc/PID/cgroup; on v2 the nearest one upwards that has the memory
   * controller.
   *
   * @throws ESRCH; ENOENT if that group is outside of what is mounted here
   */
  static async of(process: number | 'self'): Promise<MemoryGroup> {
    const path = await memoryGroupOf(process === 'self' ? 0 : processId('process', process))
    return adopt(await fill(path, (handle, at) => handle.open(at)))
  }

  /** Bytes in use, page cache included: v1 memory.usage_in_bytes, v2 memory.current. */
  usage(): Promise<number> {
    return this.#call(handle => handle.usage())
  }

  limits(): Promise<MemoryLimits> {
    return this.#call(handle => handle.limits())
  }

  /**
   * Sets the given limits and leaves the others, all or none: what was written before one is refused
   * is put back. Sizes are rounded down to whole pages. v1 knows memory and memory + swap: what may be
   * swapped stays the same when only `max` changes. Lowering `max` never kills.
   *
   * @throws EBUSY if the group uses more and the kernel could not reclaim enough;
   * ERR_CGROUP_UNSUPPORTED for a limit that the version does not have; ERR_ROOT_GROUP
   */
  async setLimits(limits: MemoryLimitsInit): Promise<void> {
    const change = limitChange(limits)
    await this.#call(handle => handle.setLimits(change))
  }

  counters(): Promise<OomCounters> {
    return this.#call(handle => handle.counters())
  }

  /** The processes in it, ascending; those not visible in this pid namespace are left out. */
  async pids(options?: PidsOptions): Promise<number[]> {
    const recursive = boolean(
      'options.recursive',
      checkOptions('options', options).recursive,
      false,
    )
    return this.#call(handle => handle.pids(recursive))
  }

  /**
   * Moves a process, with all its threads, into the group. What it has been charged for stays where it
   * is: only what it allocates from now on is charged here.
   *
   * A worker's `threadId` is no process id, but mostly some other process has it. Process 1, ancestors
   * of this process, kernel threads and ids of threads are therefore refused unless `force` is set.
   *
   * @throws ERR_PROCESS_REFUSED; ESRCH; EACCES without write access to cgroup.procs
   */
  async add(pid: number, options?: AddOptions): Promise<void> {
    processId('pid', pid)
    const force = boolean('options.force', checkOptions('options', options).force, false)
    this.#open()
    const odd = force ? undefined : oddToMove(pid)
    if (odd !== undefined) {
      throw new OomError(
        'ERR_PROCESS_REFUSED',
        `${odd}, which is hardly meant to be moved into '${this.path}': a worker's threadId and a thread's id are no process ids (add(${pid}, { force: true }) moves it all the same)`,
        { path: this.path },
      )
    }
    await this.#call(handle => handle.add(pid))
  }

  /**
   * Sends a signal to the members and, unless told otherwise, to those of all groups below. SIGKILL
   * goes on until none is left, with processes that are forked meanwhile; frozen ones are thawed to
   * die. Any other signal is sent once. A pid is never signalled after another process got it.
   *
   * @returns the pids signalled
   * @throws ERR_SELF_IN_GROUP for SIGKILL and SIGSTOP if this process is a member; ERR_INIT_IN_GROUP
   * for them if process 1 is one; EPERM if a member belongs to another user; ERR_ROOT_GROUP for
   * SIGKILL; ERR_UNSEEN_MEMBERS, after all others have got it, for members in another PID namespace
   * (v2 with cgroup.kill, Linux 5.14: SIGKILL reaches them with those below)
   */
  async kill(options?: KillOptions): Promise<number[]> {
    const { signal = 'SIGKILL', recursive } = checkOptions('options', options)
    const number = signalNumber('options.signal', signal)
    const below = boolean('options.recursive', recursive, true)
    if (number === constants.signals.SIGKILL) {
      const { pids, charged } = await this.#killAll(below, false)
      if (charged) throw unseenMembers(this.path)
      return pids
    }
    const { pids, unseen } = await this.#call(handle => handle.signal(number, below, 0))
    if (unseen > 0) throw unseenMembers(this.path, unseen)
    return pids
  }

  /**
   * Stops the members, those of groups below included, until {@link thaw}; resolves when all have
   * stopped. v1: the freezer group of the same path, which must have all of them; v2: cgroup.freeze.
   *
   * @throws ERR_NO_FREEZER; ERR_SELF_IN_GROUP; ETIMEDOUT if some do not stop within 10 s (tasks that
   * wait for memory do not): it is thawed again then
   */
  async freeze(): Promise<void> {
    if (await this.#repeat(handle => handle.freeze())) return
    await this.thaw()
    throw new OomError('ETIMEDOUT', `members of '${this.path}' do not stop`, { path: this.path })
  }

  /** @throws ERR_NO_FREEZER; EBUSY if a group above keeps it frozen */
  async thaw(): Promise<void> {
    if (await this.#repeat(handle => handle.thaw())) return
    throw new OomError('ETIMEDOUT', `'${this.path}' does not thaw`, { path: this.path })
  }

  /**
   * Asks the kernel to reclaim, as far as there is something. v2: about so many bytes; v1 (memory.force_empty): what it can,
   * whatever the number.
   *
   * @returns bytes by which usage went down
   */
  async reclaim(size: Bytes): Promise<number> {
    const wanted = bytes('bytes', size, { max: true })
    return this.#call(handle => handle.reclaim(wanted))
  }

  /**
   * Removes the group, rmdir(2). With `kill`, all members and all groups below go first; on v1 the
   * kernel's killer is given back before. Watches of this process have told of all kills before it is gone.
   * The object stays open.
   *
   * @throws EBUSY if there are members or groups below; ENOENT if it is gone already; with `kill` also
   * what {@link kill} throws
   */
  async remove(options?: RemoveOptions): Promise<void> {
    const kill = boolean('options.kill', checkOptions('options', options).kill, false)
    let busySince: number | undefined
    for (let pause = 1; ; pause = Math.min(2 * pause, 50)) {
      const killed = kill ? await this.#killAll(true, true) : undefined
      if (killed !== undefined && killed.pids.length > 0) busySince = undefined
      try {
        return await this.#call(handle => handle.remove(kill))
      } catch (error) {
        if ((error as OomError).code !== 'EBUSY') throw error
        const busy = error as OomError
        const { members, below, unseen, everybody } = await this.#call(h => h.occupied())
        if (!kill && (members || below)) throw busy
        if (!kill && unseen > 0) throw unseenMembers(this.path, unseen, busy)
        if (killed?.charged) throw unseenMembers(this.path)
        // Nobody is left but tasks that the kernel has not quite finished with.
        busySince ??= performance.now()
        if (performance.now() - busySince > (everybody ? PATIENCE_MS : UNLISTED_MS)) {
          throw everybody ? busy : unseenMembers(this.path, undefined, kill ? undefined : busy)
        }
      }
      await sleep(pause)
    }
  }

  /**
   * Tells of the group's OOMs, of the kernel's kills in it and of its removal; changes nothing. Armed
   * when it returns: what happens between now and the first `next()` is not lost.
   *
   * @throws ERR_CLOSED; ENOENT or ENODEV for a group that is gone; AbortError for a signal that has
   * aborted already
   */
  watch(options?: WatchOptions): OomWatch {
    return watchGroup(this, options)
  }

  /**
   * Tells when usage crosses so many bytes, in either direction. v1: an eventfd threshold
   * (cgroup.event_control); the kernel looks every 128 pages, so it may be some hundred KiB late. v2 has
   * no such thing: the sentinel looks ten times a second (less often with thousands of these), and does
   * not see what goes there and back in between.
   */
  watchUsage(size: Bytes, options?: SubscriptionOptions): EventIterator<UsageEvent> {
    return watchUsage(this, size, options)
  }

  /**
   * Tells of memory pressure before it is an OOM: with `level` the group's vmpressure (v1
   * memory.pressure_level; ERR_CGROUP_UNSUPPORTED on v2), with `kind` PSI stalls: on v1 the whole
   * system's (/proc/pressure/memory), on v2 the group's (memory.pressure).
   */
  watchPressure(options: PressureOptions): EventIterator<PressureEvent> {
    return watchPressure(this, options)
  }

  /**
   * Takes OOM handling of the group, and of those below it, over from the kernel, for at most
   * `delayMs` each time: then the fallback decides. In force when it resolves.
   *
   * @throws ERR_KILLER_DISABLED if somebody has disabled the killer already (see `takeOver`);
   * ERR_ROOT_GROUP; ERR_MEMLOCK_LIMIT where RLIMIT_MEMLOCK is too low; ERR_GUARDIAN_MISSING and
   * ERR_GUARDIAN_INSIDE; AbortError
   */
  guard(options: GuardOptions): Promise<OomGuard> {
    return guardGroup(this, options)
  }

  /** Lets go of the directory; the group itself stays. What is under way is finished. Idempotent. */
  async close(): Promise<void> {
    this.#handle?.close()
    this.#handle = undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #open(): GroupHandle {
    if (this.#handle === undefined) throw ownError('ERR_CLOSED', this.path)
    return this.#handle
  }

  async #call<T>(call: (handle: GroupHandle) => Promise<T>): Promise<T> {
    try {
      return await call(this.#open())
    } catch (error) {
      throw fromNative(error, this.path)
    }
  }

  /** Calls until it gives true; false when that takes too long. */
  async #repeat(call: (handle: GroupHandle) => Promise<boolean>): Promise<boolean> {
    const start = performance.now()
    for (let pause = 1; ; pause = Math.min(2 * pause, 20)) {
      if (await this.#call(call)) return true
      if (performance.now() - start > PATIENCE_MS) return false
      await sleep(pause)
    }
  }

  /** `charged`: nobody is listed any more, but there may be members that the kernel does not list. */
  async #killAll(
    recursive: boolean,
    giveKillerBack: boolean,
  ): Promise<{ pids: number[]; charged: boolean }> {
    const killed = new Set<number>()
    let chargedSince: number | undefined
    for (let pause = 1; ; pause = Math.min(2 * pause, 20)) {
      try {
        const round = await this.#call(handle => handle.kill(recursive, giveKillerBack))
        for (const pid of round.pids) killed.add(pid)
        if (round.unseen > 0) throw unseenMembers(this.path, round.unseen)
        chargedSince = round.charged ? (chargedSince ?? performance.now()) : undefined
        const settled = chargedSince === undefined || performance.now() - chargedSince > UNLISTED_MS
        if (round.empty && settled) return { pids: [...killed], charged: round.charged }
      } catch (error) {
        // Somebody else removed it as soon as it was empty.
        if (killed.size > 0 && GONE.includes((error as OomError).code)) {
          return { pids: [...killed], charged: false }
        }
        throw error
      }
      await sleep(pause)
    }
  }
}

/** What a group tells another copy of this package. */
interface Origin {
  handle: GroupHandle
  version: string
  directory: string
}

/**
 * The native handle of an open group, for the package's own modules, whichever copy of them has made
 * the group; throws ERR_CLOSED, or ERR_OTHER_COPY where that copy has an addon of its own.
 */
export function handleOf(group: MemoryGroup, name = 'group'): GroupHandle {
  if (!hasBrand(group, GROUP)) throw invalidType(name, 'an instance of MemoryGroup', group)
  const { handle, version, directory } = (group as unknown as { [GROUP](): Origin })[GROUP]()
  if (binding().isGroupHandle(handle)) return handle
  throw new OomError(
    'ERR_OTHER_COPY',
    `the group '${group.path}' is one of another installation of cgroup-oom, version ${version} in '${directory}', which cannot be used with version ${VERSION} in '${packageRoot()}': install one only (npm ls cgroup-oom, npm dedupe)`,
    { path: group.path },
  )
}

/** Another object for the same group: closing one leaves the other open. */
export function sameGroup(group: MemoryGroup): MemoryGroup {
  return adopt(handleOf(group).copy(new (binding().GroupHandle)()))
}

/** A handle that `use` has opened at the path, made absolute. */
async function fill(
  path: string,
  use: (handle: GroupHandle, at: string) => Promise<void>,
): Promise<GroupHandle> {
  const handle = new (binding().GroupHandle)()
  const at = await absoluteGroupPath(path)
  try {
    await use(handle, at)
  } catch (error) {
    throw fromNative(error, at)
  }
  return handle
}

function limitChange(limits: MemoryLimitsInit): LimitChange {
  if (limits === undefined) throw invalidType('limits', 'of type object', limits)
  const { max, high, swapMax, oomGroup } = checkOptions('limits', limits)
  const change: LimitChange = {}
  const sizes = { max, high, swapMax }
  for (const [name, value] of Object.entries(sizes) as [keyof typeof sizes, Bytes | undefined][]) {
    const size = optionalBytes(`limits.${name}`, value, { max: true })
    if (size !== undefined) change[name] = size
  }
  if (oomGroup !== undefined) change.oomGroup = boolean('limits.oomGroup', oomGroup, false)
  return change
}
