// The simulated group: MemoryGroup's interface over native/binding/simulation.cc.
//
// The native side keeps what happens as records. settle() carries out what is due at this instant of
// the virtual clock and passes the records on; advance() does the same for a stretch of time, with a
// turn of the event loop after each batch.
import { constants } from 'node:os'
import type { Bytes, UsageSize } from '../../types/common.js'
import type {
  AddOptions,
  GuardOptions,
  KillOptions,
  MemoryGroup,
  OomGuard,
  PidsOptions,
  RemoveOptions,
} from '../../types/group.js'
import type { MemoryLimits, MemoryLimitsInit, OomCounters } from '../../types/limits.js'
import type {
  SimulatedProcessOptions,
  SimulatedTarget,
  SimulateOptions,
  Simulation,
} from '../../types/testing.js'
import type {
  EventIterator,
  OomWatch,
  PressureEvent,
  PressureOptions,
  SubscriptionOptions,
  UsageEvent,
  WatchOptions,
} from '../../types/watch.js'
import * as check from '../base/args.js'
import { bytes, optionalBytes, usageThreshold } from '../base/bytes.js'
import { OomError, ownError } from '../base/errors.js'
import { throwIfAborted } from '../base/queue.js'
import { deliver, signalName } from '../guard/deliver.js'
import type { Guard } from '../guard/guard.js'
import { MAX_DELAY_MS } from '../guard/options.js'
import { recordOf } from '../native/records.js'
import type { SimulationBinding, SimulationHandle, Reported } from '../native/simulation.js'
import { checkWatchOptions, eventOf } from '../watch/watch.js'
import { makeGuard, type GuardedSimulation } from './guard.js'
import { SimulatedThreshold, SimulatedWatch } from './watch.js'

const TEXTS: Record<string, string> = {
  EBUSY: 'the group is in use, or uses more than that',
  ENODEV: 'the group has been removed',
  ESRCH: 'no such process in the group',
}

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

export class SimulatedMemoryGroup implements MemoryGroup, Simulation {
  readonly path: string
  readonly version = 1
  readonly #native: SimulationHandle
  readonly #onSignal: SimulateOptions['onSignal']
  readonly #watches = new Set<SimulatedWatch>()
  readonly #thresholds = new Set<SimulatedThreshold>()
  #guard: Guard | undefined
  #settling = false
  #closed = false
  #advancing: Promise<void> = Promise.resolve()

  constructor(options: SimulateOptions | undefined, binding: SimulationBinding) {
    const { max, path, killerDisabled, onSignal } = check.options('options', options)
    const limit = optionalBytes('options.max', max, { max: true }) ?? Infinity
    this.path = path === undefined ? '/simulated' : check.groupPath('options.path', path)
    if (onSignal !== undefined && typeof onSignal !== 'function') {
      throw check.invalidType('options.onSignal', 'of type function', onSignal)
    }
    this.#onSignal = onSignal
    const disabled = check.boolean('options.killerDisabled', killerDisabled, false)
    this.#native = new binding.Simulation(limit, disabled)
  }

  // What MemoryGroup has.

  /** Not simulated: rejects with ERR_CGROUP_UNSUPPORTED. */
  async create(name: string, _limits?: MemoryLimitsInit): Promise<MemoryGroup> {
    check.groupName('name', name)
    this.#open()
    const text = 'a simulated group has no groups below it'
    throw new OomError('ERR_CGROUP_UNSUPPORTED', text, { path: this.path })
  }

  async usage(): Promise<number> {
    return this.#open().usage
  }

  async peak(): Promise<number> {
    return this.#open().peak
  }

  async limits(): Promise<MemoryLimits> {
    return { max: this.#open().limit }
  }

  async setLimits(limits: MemoryLimitsInit): Promise<void> {
    if (limits === undefined) throw check.invalidType('limits', 'of type object', limits)
    check.noTypos('limits', check.options('limits', limits), check.LIMITS)
    const { max, high, swapMax, oomGroup } = check.options('limits', limits)
    const size = optionalBytes('limits.max', max, { max: true })
    const sizes = { high, swapMax }
    for (const [name, value] of Object.entries(sizes)) {
      optionalBytes(`limits.${name}`, value, { max: true })
    }
    check.boolean('limits.oomGroup', oomGroup, false)
    const native = this.#open()
    const missing = Object.entries({ high, swapMax, oomGroup }).find(([, v]) => v !== undefined)
    if (missing) {
      const text = `a simulated group has no limit '${missing[0]}'`
      throw new OomError('ERR_CGROUP_UNSUPPORTED', text, { path: this.path })
    }
    if (size !== undefined) this.#done(native.setLimit(size))
  }

  async counters(): Promise<OomCounters> {
    const { kernelKills, failures, underOom } = this.#open()
    return { oomKill: kernelKills, max: failures, underOom }
  }

  async pids(options?: PidsOptions): Promise<number[]> {
    check.boolean('options.recursive', check.options('options', options).recursive, false)
    return this.#open().pids.sort((a, b) => a - b)
  }

  /** Also moves a process out of another simulated group with {@link OomEpisode.move}. */
  async add(pid: number, options?: AddOptions): Promise<void> {
    check.processId('pid', pid)
    check.boolean('options.force', check.options('options', options).force, false)
    this.#done(this.#open().add(pid))
  }

  async kill(options?: KillOptions): Promise<number[]> {
    const { signal = 'SIGKILL', recursive } = check.options('options', options)
    const number = check.signalNumber('options.signal', signal)
    check.boolean('options.recursive', recursive, true)
    const native = this.#open()
    if (number !== constants.signals.SIGKILL) {
      const { pids } = native
      for (const pid of pids) this.#onSignal?.(pid, signal)
      return pids
    }
    native.freeze(false)
    const pids = native.kill('all', false)
    this.settle()
    return pids
  }

  async freeze(): Promise<void> {
    this.#open().freeze(true)
  }

  async thaw(): Promise<void> {
    this.#open().freeze(false)
    this.settle()
  }

  async reclaim(size: Bytes): Promise<number> {
    const wanted = bytes('bytes', size, { max: true })
    const reclaimed = this.#open().reclaim(wanted)
    this.settle()
    return reclaimed
  }

  watch(options?: WatchOptions): OomWatch {
    const checked = checkWatchOptions(options)
    this.#open()
    const watch = new SimulatedWatch(checked, w => this.#watches.delete(w))
    this.#watches.add(watch)
    return watch
  }

  watchUsage(size: UsageSize, options?: SubscriptionOptions): EventIterator<UsageEvent> {
    const threshold = usageThreshold('bytes', size)
    const signal = check.abortSignal('options.signal', check.options('options', options).signal)
    throwIfAborted(signal)
    const { usage, limit } = this.#open()
    if (threshold.millionths !== 0 && limit === Infinity) throw ownError('ERR_NO_LIMIT', this.path)
    const watch = new SimulatedThreshold(threshold, { usage, limit }, signal, w =>
      this.#thresholds.delete(w),
    )
    this.#thresholds.add(watch)
    return watch
  }

  /** Not simulated: throws ERR_CGROUP_UNSUPPORTED. */
  watchPressure(_options: PressureOptions): EventIterator<PressureEvent> {
    const text = 'pressure is not simulated'
    throw new OomError('ERR_CGROUP_UNSUPPORTED', text, { path: this.path })
  }

  async guard(options: GuardOptions): Promise<OomGuard> {
    const sim: GuardedSimulation = {
      group: this,
      native: this.#native,
      signal: (pid, signal) => this.#onSignal?.(pid, signal),
      settle: () => this.settle(),
      failure: code => this.#failure(code),
    }
    const { guard, start } = makeGuard(sim, options, () => {
      if (this.#guard === guard) this.#guard = undefined
    })
    this.#open()
    // One at a time, dry runs too: a second driver would not know the headroom of the first.
    if (this.#guard) throw ownError('ERR_KILLER_DISABLED', this.path)
    this.#guard = guard
    start()
    this.settle()
    return guard
  }

  async remove(options?: RemoveOptions): Promise<void> {
    const kill = check.boolean('options.kill', check.options('options', options).kill, false)
    this.#done(this.#open().remove(kill))
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // What only a simulation has.

  get now(): bigint {
    return this.#native.now
  }

  spawn(options?: SimulatedProcessOptions): number {
    const { size, spared } = check.options('options', options)
    const checked = optionalBytes('options.size', size) ?? 0
    const isSpared = check.boolean('options.spared', spared, false)
    const pid = this.#open().spawn(checked, isSpared)
    if (pid < 0) throw this.#failure('ENODEV')
    this.settle()
    return pid
  }

  allocate(size: Bytes, target?: SimulatedTarget): void {
    const checked = bytes('bytes', size)
    this.#done(this.#open().allocate(this.#process(target), checked))
  }

  free(size: Bytes, target?: SimulatedTarget): void {
    const checked = bytes('bytes', size)
    this.#done(this.#open().release(this.#process(target), checked))
  }

  cache(size: Bytes): void {
    const checked = bytes('bytes', size)
    this.#open().cache(checked)
    this.settle()
  }

  stall(share: number): void {
    if (typeof share !== 'number') throw check.invalidType('share', 'of type number', share)
    if (!(share >= 0 && share <= 1)) throw check.outOfRange('share', '>= 0 && <= 1', share)
    this.#open().stall(Math.round(share * 1000))
    this.settle()
  }

  exit(pid: number): void {
    check.processId('pid', pid)
    this.#done(this.#open().exit(pid))
  }

  advance(ms: number): Promise<void> {
    if (typeof ms !== 'number') throw check.invalidType('ms', 'of type number', ms)
    if (!(ms >= 0 && ms <= MAX_DELAY_MS))
      throw check.outOfRange('ms', `>= 0 && <= ${MAX_DELAY_MS}`, ms)
    // One after the other: each lets the time pass that it was given.
    const done = this.#advancing.then(() => this.#advance(BigInt(Math.round(ms * 1e6))))
    this.#advancing = done.catch(() => {})
    return done
  }

  async #advance(ns: bigint): Promise<void> {
    const until = this.now + ns
    // What was done before this call acts first, at the instant at which it was done.
    await turn()
    while (this.#native.run(until)) {
      this.#deliver()
      await turn()
    }
    this.#checkThresholds()
  }

  /** Carries out what is due at this instant, and delivers the records. */
  settle(): void {
    // A handler that acts is part of the instant that is being settled.
    if (this.#settling) return
    this.#settling = true
    try {
      while (this.#native.run(this.now)) this.#deliver()
      this.#checkThresholds()
    } finally {
      this.#settling = false
    }
  }

  #checkThresholds(): void {
    const { now, usage, limit } = this.#native
    for (const threshold of this.#thresholds) threshold.check(this.path, now, { usage, limit })
  }

  #deliver(): void {
    this.#checkThresholds()
    for (const row of this.#native.take()) {
      if (row[0] === 'signal') this.#onSignal?.(row[1], signalName(row[2]))
      else this.#record(recordOf<Reported['kind']>(row))
    }
  }

  #record(record: Reported): void {
    switch (record.kind) {
      case 'begin':
      case 'step':
      case 'pids':
      case 'end':
        if (this.#guard) deliver(this.#guard, record, () => this.path)
        break
      default: {
        const event = eventOf(record, this.path)
        for (const watch of [...this.#watches]) watch.push(event)
        if (record.kind === 'removed') for (const watch of [...this.#thresholds]) watch.end()
      }
    }
  }

  #open(): SimulationHandle {
    if (this.#closed) throw ownError('ERR_CLOSED', this.path)
    return this.#native
  }

  #process(target: SimulatedTarget | undefined): number {
    const { pid } = check.options('target', target)
    if (pid !== undefined) return check.processId('target.pid', pid)
    return this.#native.pids.sort((a, b) => a - b)[0] ?? this.spawn()
  }

  /** The answer to something that was done. */
  #done(code: string): void {
    if (code !== '') throw this.#failure(code)
    this.settle()
  }

  #failure(code: string): OomError {
    const errno = (constants.errno as Record<string, number>)[code]
    return new OomError(code, `${code}: ${TEXTS[code] ?? 'refused'}: '${this.path}'`, {
      path: this.path,
      errno: errno === undefined ? undefined : -errno,
    })
  }
}
