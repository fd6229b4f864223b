// The real guard: MemoryGroup.guard(). Options are checked, the native guard is armed, its records
// become the guard's episodes (guard.ts), and the user's calls become its commands.
import { accessSync, constants as fs, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { GuardOptions, MemoryGroup, OomGuard } from '../../types/group.js'
import { debug } from '../base/diagnostics.js'
import { fromNative, OomError, ownError, type NativeFailure } from '../base/errors.js'
import { throwIfAborted } from '../base/queue.js'
import { copyOf, handleOf, openHandle } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import type { GroupHandle } from '../native/group.js'
import type { GuardHandle, Target } from '../native/guards.js'
import { programFile } from '../native/program.js'
import type { NativeRecord } from '../native/records.js'
import { KeepAlive, subscribe, unsubscribe } from '../native/subscribe.js'
import { guardBytes, memlockError } from '../protect/memlock.js'
import type { EpisodeKey, GuardBackend } from './backend.js'
import { deliver } from './deliver.js'
import { endedError } from './episode.js'
import { Guard } from './guard.js'
import { checkGuardOptions, heldBy, type ArmedGuardOptions, type HeldBy } from './options.js'

// process.exit() runs no cleanup hooks: groups that are still held are restored here. If the process dies
// without it, the guardian restores them.
const armedHandles = new Set<GuardHandle>()
let hooked = false
function disposeAtExit(handle: GuardHandle): void {
  armedHandles.add(handle)
  if (hooked) return
  hooked = true
  process.on('exit', () => {
    for (const guard of armedHandles) guard.disposeNow()
  })
}

/** Passes the path of the guardian's program on; returns an fd of the group for it to run in, or -1. */
function prepareGuardian({ guardian }: ArmedGuardOptions): number {
  if (guardian === undefined) return -1
  binding().setGuardian(programFile('oom-guardian'))
  return guardian.group === undefined ? -1 : binding().openProcs(handleOf(guardian.group))
}

function armingError(error: unknown, path: string, ballast: number): unknown {
  const { errno, file } = error as Partial<NativeFailure>
  if (file === 'oom-guardian' && errno === -constants.errno.EDEADLK) {
    return ownError('ERR_GUARDIAN_INSIDE', path)
  }
  if (file === 'RLIMIT_MEMLOCK') {
    return memlockError(
      error,
      ballast > 0 ? 'a guard with its ballast' : 'a guard',
      guardBytes(ballast),
    )
  }
  return fromNative(error, file === 'oom-guardian' ? undefined : path)
}

/** The sentinel behind a guard. */
class NativeBackend implements GuardBackend {
  readonly #group: MemoryGroup
  /** Its own: the program may close the group while it is guarded. */
  readonly #own: GroupHandle
  readonly #handle: GuardHandle
  readonly #target: number
  readonly #place: number
  readonly #ballast: number

  constructor(group: MemoryGroup, options: ArmedGuardOptions, on: (r: NativeRecord) => void) {
    this.#group = group
    this.#own = copyOf(handleOf(group))
    this.#ballast = options.ballast
    this.#target = subscribe(on)
    try {
      this.#place = prepareGuardian(options)
    } catch (error) {
      this.#own.close()
      unsubscribe(this.#target)
      throw error
    }
    this.#handle = new (binding().Guard)(this.#target, {
      ...options,
      graceMs: options.guardian?.graceMs ?? 0,
      place: this.#place,
    })
  }

  async arm(): Promise<void> {
    // Before it holds anything: the process may exit while it is being armed.
    disposeAtExit(this.#handle)
    try {
      await this.#handle.arm(this.#own)
    } catch (error) {
      this.#own.close()
      armedHandles.delete(this.#handle)
      unsubscribe(this.#target)
      throw armingError(error, this.pathOf(this.#handle.trouble()), this.#ballast)
    } finally {
      if (this.#place >= 0) binding().closeFd(this.#place)
    }
  }

  pathOf(name: string): string {
    return name === '' ? this.#group.path : `${this.#group.path}/${name}`
  }

  path(sub: number): string {
    return this.pathOf(this.#handle.path(sub))
  }

  forget(sub: number): void {
    this.#handle.forget(sub)
  }

  now(): bigint {
    return process.hrtime.bigint()
  }

  lives(pid: number): boolean {
    try {
      // proc_pid_statm(5), which waits for no lock of the process.
      return !readFileSync(`/proc/${pid}/statm`, 'utf8').startsWith('0 ')
    } catch (error) {
      return (error as NodeJS.ErrnoException).code !== 'ENOENT'
    }
  }

  groups(): number {
    return this.#handle.groups()
  }

  async raiseLimit(key: EpisodeKey, path: string, to: number | { by: number }): Promise<void> {
    const { sub, episode } = key
    const base = this.#handle.baseLimit(sub, episode)
    if (base === undefined) throw endedError()
    // Headroom of a plan is no limit of the group: the limit is lowered by it when the episode ends.
    const size = typeof to === 'number' ? to : base + to.by
    if (size <= base) {
      throw new OomError(
        'ERR_LIMIT_NOT_RAISED',
        `${size} bytes would not raise the limit of '${path}', which is ${base}`,
        { path },
      )
    }
    await this.#with(path, async group => {
      const { max } = await group.limits()
      if (size > max) await group.setLimits({ max: size })
    })
    // The kernel does not notify of a raised limit. If the episode has ended by now, that was because of
    // it, or is no reason to lower the limit again.
    this.#handle.limitRaised(sub, episode, size)
  }

  async kill(
    key: EpisodeKey,
    path: string,
    victim: Target,
    signal: NodeJS.Signals,
  ): Promise<number[]> {
    try {
      return await this.#handle.kill(key.sub, key.episode, victim, constants.signals[signal])
    } catch (error) {
      if ((error as { errno?: number }).errno === -constants.errno.ECANCELED) throw endedError()
      throw fromNative(error, path)
    }
  }

  async move(key: EpisodeKey, path: string, pid: number, to: MemoryGroup): Promise<void> {
    if (this.#handle.baseLimit(key.sub, key.episode) === undefined) throw endedError()
    await this.#with(path, async group => {
      if ((await group.pids(true)).includes(pid)) return
      throw new OomError('ESRCH', `process ${pid} is not in '${path}'`, { path })
    })
    // A member of this group is no mistake, even if add() would refuse it elsewhere.
    try {
      await handleOf(to, 'to').add(pid)
    } catch (error) {
      throw fromNative(error, to.path)
    }
  }

  /** The group of an episode, the guarded one or one below it, by a handle that no other code closes. */
  async #with(path: string, use: (group: GroupHandle) => Promise<void>): Promise<void> {
    const own = path === this.#group.path
    const handle = own ? copyOf(this.#own) : await openHandle(path)
    try {
      await use(handle)
    } catch (error) {
      throw fromNative(error, path)
    } finally {
      handle.close()
    }
  }

  extend({ sub, episode }: EpisodeKey, ms: number): boolean {
    return this.#handle.extend(sub, episode, ms)
  }

  yield({ sub, episode }: EpisodeKey): boolean {
    return this.#handle.yield(sub, episode)
  }

  setDelay(ms: number): void {
    this.#handle.setDelay(ms)
  }

  async dispose(): Promise<void> {
    await this.#handle.dispose()
    armedHandles.delete(this.#handle)
    // The ends of episodes that this cancelled.
    binding().drain()
    unsubscribe(this.#target)
    this.#own.close()
  }
}

/** A hold by signals can be had where nothing can be written, but a policy's raise cannot. */
function checkRaises({ path, version }: MemoryGroup, options: ArmedGuardOptions): void {
  if (options.hold.by !== 'signals' || options.raises.length === 0) return
  const file = version === 2 ? 'memory.max' : 'memory.limit_in_bytes'
  try {
    accessSync(join(path, file), fs.W_OK)
  } catch (error) {
    throw fromNative(
      Object.assign(error as Error, { syscall: 'open', file, code: undefined }),
      path,
    )
  }
}

/** Turns native records into the guard's episodes. */
function hear(guard: Guard, backend: NativeBackend, record: NativeRecord): void {
  switch (record.kind) {
    case 'begin':
    case 'step':
    case 'pids':
    case 'end':
      deliver(guard, record, sub => backend.path(sub))
      break
    case 'trouble':
      void guard.fail(ownError('ERR_GUARDIAN_LOST', guard.group.path))
      break
    case 'removed':
      // Of the guarded group itself: no episode can follow.
      if (record.root) void guard.dispose()
      else backend.forget(record.sub)
      guard.forget(record.sub)
      break
    default: // of watches and the like
  }
}

// Why a hold by the kernel cannot be had here, and one by signals perhaps can.
const NOT_HELD = new Set(['EROFS', 'EACCES', 'EPERM', 'ERR_PLAN_NEEDED'])

async function armed(group: MemoryGroup, options: ArmedGuardOptions): Promise<Guard> {
  checkRaises(group, options)
  const backend: NativeBackend = new NativeBackend(group, options, record =>
    hear(guard, backend, record),
  )
  const guard: Guard = new Guard(group, options, backend, options.hold.by)
  await backend.arm()
  debug(
    'guarding %s by %s: %d groups, %d ms',
    group.path,
    options.hold.by,
    backend.groups(),
    options.delayMs,
  )
  return guard
}

/** {@link MemoryGroup.guard} */
export async function guardGroup(group: MemoryGroup, options: GuardOptions): Promise<OomGuard> {
  const checked = checkGuardOptions(options)
  throwIfAborted(checked.signal)
  if (handleOf(group).isRoot) throw ownError('ERR_ROOT_GROUP', group.path)

  const { by } = checked.hold
  const arm = (hold: HeldBy) => armed(group, heldBy(checked, hold))
  const guard =
    by === 'auto'
      ? await arm('kernel').catch((error: unknown) => {
          if (!NOT_HELD.has((error as NodeJS.ErrnoException).code ?? '')) throw error
          debug('holding %s by signals: %s', group.path, error)
          return arm('signals')
        })
      : await arm(by)

  const alive = new KeepAlive()
  guard.onIterating = wanted => (wanted ? alive.ref() : alive.unref())
  const { signal } = checked
  if (signal) {
    const abort = () => void guard.abort(signal.reason)
    if (signal.aborted) {
      await guard.dispose()
      throwIfAborted(signal)
    }
    signal.addEventListener('abort', abort, { once: true })
    guard.onDisposed = () => signal.removeEventListener('abort', abort)
  }
  return guard
}
