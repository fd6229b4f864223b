// MemoryGroup: what the package is about. Arguments are checked here, the work is the core's
// (native/core/memcg/group.cc), on libuv's thread pool. Whatever has to be waited for (members that die,
// tasks that freeze) is waited for here, between calls: no pool thread is ever held by a group.
import { constants } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bytes, UsageSize } from '../../types/common.js'
import type {
  AddOptions,
  GuardOptions,
  HomeOptions,
  KillOptions,
  MemoryGroup as Group,
  OomGuard,
  PidsOptions,
  RemoveOptions,
} from '../../types/group.js'
import type {
  CgroupVersion,
  MemoryGroupInit,
  MemoryLimits,
  MemoryLimitsInit,
  OomCounters,
} from '../../types/limits.js'
import type {
  EventIterator,
  OomWatch,
  PressureEvent,
  PressureOptions,
  SubscriptionOptions,
  UsageEvent,
  WatchOptions,
} from '../../types/watch.js'
import {
  boolean,
  groupName,
  groupPath,
  invalidType,
  invalidValue,
  options as checkOptions,
  processId,
  signalNumber,
  illegalConstructor,
  LIMITS,
  noTypos,
} from '../base/args.js'
import { brand, GROUP, isInstance } from '../base/brand.js'
import { bytes, optionalBytes } from '../base/bytes.js'
import { fromNative, OomError, ownError, unseenMembers } from '../base/errors.js'
import { VERSION } from '../base/version.js'
import { guardGroup } from '../guard/native-guard.js'
import { copyOf, filled, handleOf, openHandle, type Origin } from '../handle/handle.js'
import { memoryGroupOf } from '../handle/hierarchy.js'
import { binding } from '../native/addon.js'
import type { GroupHandle, LimitChange } from '../native/group.js'
import { packageRoot } from '../native/load.js'
import { findHome } from '../place/home.js'
import { watchPressure } from '../watch/pressure.js'
import { watchUsage } from '../watch/usage.js'
import { watchGroup } from '../watch/watch.js'
import { oddToMove } from './process-check.js'

// How long members may take to stop before freeze() gives up, and dying ones may keep an empty group
// busy before remove() does.
const PATIENCE_MS = 10_000

// On v1 not all members may be listed. If memory stays charged for longer than this, the group counts as
// occupied: the kernel's statistics can be two seconds old.
const UNLISTED_MS = 3000

// The errors of a removed group's files.
const GONE = ['ENOENT', 'ENODEV']

// The handles of the objects that are open. No private member has them: then no other implementation of the
// interface, as the simulated group is one, could stand where this class does.
const handles = new WeakMap<MemoryGroup, GroupHandle>()

// What close() undoes first: what home() has made.
const undoing = new WeakMap<MemoryGroup, () => Promise<void>>()

// Those that were made by their object, and that no process has been put into by it yet.
const unused = new WeakSet<object>()

let adopt: (handle: GroupHandle) => MemoryGroup

/**
 * One memory cgroup: cgroups(7). It is held by a descriptor of its directory, so it stays this very
 * group: once it is removed, calls reject with ENOENT or ENODEV, also when another one of the same
 * name exists. Any number of objects may stand for one group.
 *
 * Every method rejects with an {@link OomError}; arguments that are not allowed with a TypeError or
 * RangeError, before anything is touched.
 */
export class MemoryGroup implements Group {
  readonly path: string
  readonly version: CgroupVersion

  static {
    adopt = handle => new MemoryGroup(handle)
    const origin = function (this: MemoryGroup): Origin {
      return { handle: opened(this), version: VERSION, directory: packageRoot() }
    }
    brand(this.prototype, GROUP, origin)
  }

  /** Also those of another copy of this package: ESM and CommonJS. */
  static [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(this, MemoryGroup, GROUP, value)
  }

  private constructor(handle: GroupHandle) {
    if (!(handle instanceof binding().GroupHandle)) {
      throw illegalConstructor('MemoryGroup.open()')
    }
    handles.set(this, handle)
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
    return adopt(await openHandle(groupPath('path', path)))
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
  static async create(path: string, limits?: MemoryGroupInit): Promise<MemoryGroup> {
    const checked = groupPath('path', path)
    const init = initial(limits)
    return begun(await openHandle(checked, (handle, at) => handle.create(at, init.change)), init)
  }

  /**
   * The group that a process is in: /proc/PID/cgroup; on v2 the nearest one upwards that has the memory
   * controller.
   *
   * @throws ESRCH; ENOENT if that group is outside of what is mounted here
   */
  static async of(process: number | 'self'): Promise<MemoryGroup> {
    const path = await memoryGroupOf(process === 'self' ? 0 : processId('process', process))
    return adopt(await openHandle(path))
  }

  /**
   * A group below which this process can make groups with limits ({@link create}): the one that it is in, where
   * that is possible as it is. Else it is made possible, as far as the place allows it:
   *
   * - Processes live in that group (v2, as in a container whose cgroupfs can be written): with `settle` all of
   *   them are moved into a group below it, and the memory controller is handed down.
   * - A session or unit of systemd that was not delegated (v2): systemd is asked for a transient scope with
   *   Delegate=yes, into which this process moves.
   *
   * What it has made, {@link close} undoes as far as it can be undone: processes go back, unless other groups
   * are below the home by then.
   *
   * @throws ERR_GROUP_OCCUPIED with the processes' names, without `settle`, or if one cannot be moved (then all
   * are back where they were); ERR_NO_HOME with the switch of the runtime that was found; ERR_UNSEEN_MEMBERS;
   * ERR_CGROUP_UNSUPPORTED
   */
  static async home(options?: HomeOptions): Promise<MemoryGroup> {
    const settle = boolean('options.settle', checkOptions('options', options).settle, false)
    const { handle, undo } = await findHome(settle)
    const home = adopt(handle)
    if (undo !== undefined) undoing.set(home, undo)
    return home
  }

  async create(name: string, limits?: MemoryGroupInit): Promise<MemoryGroup> {
    const checked = groupName('name', name)
    const init = initial(limits)
    const parent = opened(this)
    const handle = await filled(join(this.path, checked), to =>
      to.createBelow(parent, checked, init.change),
    )
    return begun(handle, init)
  }

  usage(): Promise<number> {
    return call(this, handle => handle.usage())
  }

  peak(): Promise<number> {
    return call(this, handle => handle.peak())
  }

  limits(): Promise<MemoryLimits> {
    return call(this, handle => handle.limits())
  }

  async setLimits(limits: MemoryLimitsInit): Promise<void> {
    const change = limitChange(limits)
    await call(this, handle => handle.setLimits(change))
  }

  counters(): Promise<OomCounters> {
    return call(this, handle => handle.counters())
  }

  async pids(options?: PidsOptions): Promise<number[]> {
    const recursive = boolean(
      'options.recursive',
      checkOptions('options', options).recursive,
      false,
    )
    return call(this, handle => handle.pids(recursive))
  }

  async add(pid: number, options?: AddOptions): Promise<void> {
    processId('pid', pid)
    const force = boolean('options.force', checkOptions('options', options).force, false)
    opened(this)
    const odd = force ? undefined : oddToMove(pid)
    if (odd !== undefined) {
      throw new OomError(
        'ERR_PROCESS_REFUSED',
        `${odd}, which is hardly meant to be moved into '${this.path}': a worker's threadId and a thread's id are no process ids (add(${pid}, { force: true }) moves it all the same)`,
        { path: this.path },
      )
    }
    unused.delete(this)
    await call(this, handle => handle.add(pid))
  }

  async kill(options?: KillOptions): Promise<number[]> {
    const { signal = 'SIGKILL', recursive } = checkOptions('options', options)
    const number = signalNumber('options.signal', signal)
    const below = boolean('options.recursive', recursive, true)
    if (number === constants.signals.SIGKILL) {
      const { pids, charged } = await killAll(this, below, false)
      if (charged) throw unseenMembers(this.path)
      return pids
    }
    const { pids, unseen } = await call(this, handle => handle.signal(number, below, 0))
    if (unseen > 0) throw unseenMembers(this.path, unseen)
    return pids
  }

  async freeze(): Promise<void> {
    if (await repeat(this, handle => handle.freeze())) return
    await this.thaw()
    throw new OomError('ETIMEDOUT', `members of '${this.path}' do not stop`, { path: this.path })
  }

  async thaw(): Promise<void> {
    if (await repeat(this, handle => handle.thaw())) return
    throw new OomError('ETIMEDOUT', `'${this.path}' does not thaw`, { path: this.path })
  }

  async reclaim(size: Bytes): Promise<number> {
    const wanted = bytes('size', size, { max: true })
    return call(this, handle => handle.reclaim(wanted))
  }

  async remove(options?: RemoveOptions): Promise<void> {
    const kill = boolean('options.kill', checkOptions('options', options).kill, false)
    let busySince: number | undefined
    for (let pause = 1; ; pause = Math.min(2 * pause, 50)) {
      const killed = kill ? await killAll(this, true, true) : undefined
      if (killed !== undefined && killed.pids.length > 0) busySince = undefined
      try {
        return await call(this, handle => handle.remove(kill))
      } catch (error) {
        if ((error as OomError).code !== 'EBUSY') throw error
        const busy = error as OomError
        const { members, below, unseen, everybody } = await call(this, h => h.occupied())
        if (!kill && (members || below)) throw busy
        if (!kill && unseen > 0) throw unseenMembers(this.path, unseen, busy)
        if (killed?.charged) throw unseenMembers(this.path)
        // What is left are tasks that the kernel has not quite finished with.
        busySince ??= performance.now()
        if (performance.now() - busySince > (everybody ? PATIENCE_MS : UNLISTED_MS)) {
          throw everybody ? busy : unseenMembers(this.path, undefined, kill ? undefined : busy)
        }
      }
      await sleep(pause)
    }
  }

  watch(options?: WatchOptions): OomWatch {
    return watchGroup(this, options)
  }

  watchUsage(size: UsageSize, options?: SubscriptionOptions): EventIterator<UsageEvent> {
    return watchUsage(this, size, options)
  }

  watchPressure(options: PressureOptions): EventIterator<PressureEvent> {
    return watchPressure(this, options)
  }

  guard(options: GuardOptions): Promise<OomGuard> {
    return guardGroup(this, options)
  }

  async close(): Promise<void> {
    const undo = undoing.get(this)
    undoing.delete(this)
    await undo?.()
    handles.get(this)?.close()
    handles.delete(this)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Whether the group was made by its object and no process has been put into it by that: one is now. */
export const useFirst = (group: Group): boolean => unused.delete(group)

/** Another object for the same group: closing one leaves the other open. */
export function sameGroup(group: Group): MemoryGroup {
  return adopt(copyOf(handleOf(group)))
}

function opened(group: MemoryGroup): GroupHandle {
  const handle = handles.get(group)
  if (handle === undefined) throw ownError('ERR_CLOSED', group.path)
  return handle
}

async function call<T>(group: MemoryGroup, use: (handle: GroupHandle) => Promise<T>): Promise<T> {
  try {
    return await use(opened(group))
  } catch (error) {
    throw fromNative(error, group.path)
  }
}

/** Calls until the result is true; false when that takes longer than PATIENCE_MS. */
async function repeat(
  group: MemoryGroup,
  use: (handle: GroupHandle) => Promise<boolean>,
): Promise<boolean> {
  const start = performance.now()
  for (let pause = 1; ; pause = Math.min(2 * pause, 20)) {
    if (await call(group, use)) return true
    if (performance.now() - start > PATIENCE_MS) return false
    await sleep(pause)
  }
}

/** `charged`: no member is listed any more, but there may be some that the kernel does not list. */
async function killAll(
  group: MemoryGroup,
  recursive: boolean,
  enableKiller: boolean,
): Promise<{ pids: number[]; charged: boolean }> {
  const killed = new Set<number>()
  let chargedSince: number | undefined
  for (let pause = 1; ; pause = Math.min(2 * pause, 20)) {
    try {
      const round = await call(group, handle => handle.kill(recursive, enableKiller))
      for (const pid of round.pids) killed.add(pid)
      if (round.unseen > 0) throw unseenMembers(group.path, round.unseen)
      chargedSince = round.charged ? (chargedSince ?? performance.now()) : undefined
      const settled = chargedSince === undefined || performance.now() - chargedSince > UNLISTED_MS
      if (round.empty && settled) return { pids: [...killed], charged: round.charged }
    } catch (error) {
      // Another process removed it as soon as it was empty.
      if (killed.size > 0 && GONE.includes((error as OomError).code)) {
        return { pids: [...killed], charged: false }
      }
      throw error
    }
    await sleep(pause)
  }
}

interface Initial {
  change: LimitChange
  swap: boolean
}

function initial(limits: MemoryGroupInit | undefined): Initial {
  const change = limitChange(limits === undefined ? {} : limits)
  const swap = boolean('limits.swap', limits?.swap, true)
  if (!swap && change.swapMax !== undefined) {
    throw invalidValue('limits.swapMax', "must not be given with 'swap: false'", limits?.swapMax)
  }
  return { change, swap }
}

/** A group that has just been made: where swap is accounted, it has none. */
async function begun(handle: GroupHandle, { swap }: Initial): Promise<MemoryGroup> {
  const group = adopt(handle)
  unused.add(group)
  if (swap) return group
  try {
    await group.setLimits({ swapMax: 0 })
  } catch (error) {
    if ((error as OomError).code === 'ERR_CGROUP_UNSUPPORTED') return group
    await group.remove().catch(() => {})
    await group.close()
    throw error
  }
  return group
}

function limitChange(limits: MemoryLimitsInit): LimitChange {
  if (limits === undefined) throw invalidType('limits', 'of type object', limits)
  const given = checkOptions('limits', limits)
  noTypos('limits', given, LIMITS)
  const { max, high, swapMax, oomGroup } = given
  const change: LimitChange = {}
  const sizes = { max, high, swapMax }
  for (const [name, value] of Object.entries(sizes) as [keyof typeof sizes, Bytes | undefined][]) {
    const size = optionalBytes(`limits.${name}`, value, { max: true })
    if (size !== undefined) change[name] = size
  }
  if (oomGroup !== undefined) change.oomGroup = boolean('limits.oomGroup', oomGroup, false)
  return change
}
