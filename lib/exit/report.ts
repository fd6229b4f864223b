// exitReport(): collects what is known about a child's end. Its base line is taken before it returns, on the
// environment's thread; the verdict is judge.ts's.
import { ChildProcess } from 'node:child_process'
import { errorMonitor, type EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExitReport } from '../../types/exit.js'
import type { MemoryGroup } from '../../types/group.js'
import type { OomEvent, OomWatch } from '../../types/watch.js'
import { invalidType } from '../base/args.js'
import { MemoryGroup as Group, sameGroup } from '../group/memory-group.js'
import { handleOf } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import { hearStarts, startOf } from '../spawn/started.js'
import { Episodes } from './episodes.js'
import type { ExitFacts } from './facts.js'
import {
  isEnding,
  isOf,
  machineKills,
  sampleGroup,
  type GroupPlace,
  type GroupSample,
} from './group-files.js'
import { judge } from './judge.js'

// v1 notifies before the victim has ended, v2 up to 10 ms later; the sentinel has both within a millisecond.
const NOTIFY_MS = 100
// Of a group that is gone on v1 the last OOM is told from the removal after a quarter of a second.
const REMOVAL_MS = 1500
// An episode ends when the kill that ended the child has freed its memory.
const EPISODE_MS = 1000

// A child needs longer to start, to fill a group and to be killed: the base line is older than its first OOM.
const SOON_MS = 2

// Of a group that was made for the child.
const NOTHING = { kills: 0, below: 0, failed: 0, met: 0 }

interface Place extends GroupPlace {
  /** To watch it; undefined: it is opened first. */
  group: MemoryGroup | undefined
}

/** What groupOptions() has put into the child's command line. */
function byLauncher({ spawnargs }: ChildProcess): GroupPlace | undefined {
  for (const word of spawnargs ?? []) {
    const [, identity, path] = /^--group=(\d+:\d+):[^:]*:(.*)$/s.exec(word) ?? []
    if (path === undefined) continue
    return { path, identity, version: binding().hierarchies().memory?.version ?? 2 }
  }
  return undefined
}

/** Where the child is; undefined where there are no memory groups. */
function placeOf(child: ChildProcess): Place | undefined {
  const given = startOf(child)?.group
  if (given !== undefined) {
    const { path, version } = given
    try {
      const group = sameGroup(given)
      return { path, version, identity: handleOf(given).identity, group }
    } catch {
      return { path, version, identity: undefined, group: undefined }
    }
  }
  try {
    const launched = byLauncher(child)
    if (launched !== undefined) return { ...launched, group: undefined }
    const { self, memory } = binding().hierarchies()
    if (self === null || memory === null) return undefined
    return { path: self, version: memory.version, identity: undefined, group: undefined }
  } catch {
    return undefined
  }
}

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  notStarted?: string
}

function endOf(child: ChildProcess): Promise<Ended> {
  const { exitCode, signalCode } = child
  if (exitCode !== null || signalCode !== null) {
    const notStarted = child.pid === undefined ? { notStarted: 'it could not be started' } : {}
    const code = child.pid === undefined ? null : exitCode
    return Promise.resolve({ code, signal: signalCode, ...notStarted })
  }
  return new Promise(resolve => {
    // Not as a listener of 'error': those decide whether an error is thrown.
    ;(child as EventEmitter).on(errorMonitor, (error: Error) => {
      if (child.pid !== undefined) return
      resolve({ code: null, signal: null, notStarted: error.message })
    })
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

/** OOMs of the group and its removal, from now on. */
class Notices {
  readonly ooms: ExitFacts['ooms'] = { self: 0, ancestor: 0, unknown: 0 }
  /** When this thread heard of the last one, milliseconds of performance.now(). */
  lastAt = 0
  /** From the start to now. */
  whole = true
  kills = 0
  removed: Promise<void>
  readonly heard: Promise<void>
  #watch: OomWatch | undefined
  #closed = false

  constructor(place: Place, inTime: () => boolean) {
    let hear!: () => void
    this.heard = new Promise(resolve => (hear = resolve))
    this.removed = this.#run(place, inTime, hear).catch(() => {
      this.whole = false
    })
  }

  async #run(place: Place, inTime: () => boolean, hear: () => void): Promise<void> {
    let { group } = place
    try {
      if (group === undefined) {
        group = await Group.open(place.path)
        this.whole = inTime()
      }
      if (this.#closed) return
      this.#watch = group.watch().unref()
    } finally {
      void group?.close()
    }
    for await (const event of this.#watch) {
      this.#count(event)
      hear()
    }
  }

  #count(event: OomEvent): void {
    if (event.type === 'oom') {
      this.ooms[event.origin] += event.count
      this.lastAt = performance.now()
    }
    if (event.type === 'kill') this.kills += event.count
  }

  close(): void {
    this.#closed = true
    void this.#watch?.return()
  }
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const end = new AbortController()
  await Promise.race([work, sleep(ms, undefined, { signal: end.signal }).catch(() => {})])
  end.abort()
}

const grown = (before: number | undefined, now: number): number => Math.max(0, now - (before ?? 0))

class Collector {
  readonly #child: ChildProcess
  readonly #pid: number | undefined
  readonly #late: boolean
  /** OOMs that nobody watched may have been before the call. */
  readonly #unheard: boolean
  readonly #place: Place | undefined
  readonly #before: GroupSample | undefined
  readonly #killsBefore: number | undefined
  readonly #notices: Notices | undefined
  readonly #episodes: Episodes | undefined
  readonly #hushed: () => void
  #own: boolean
  #ended = false
  #exitAt = 0

  constructor(child: ChildProcess) {
    this.#child = child
    this.#pid = child.pid
    const place = (this.#place = placeOf(child))
    const kills = machineKills()
    const before = place && sampleGroup(place)
    const { first = false, at = -Infinity } = startOf(child) ?? {}
    const { pid } = child
    // What was killed before the base line is not told from what was killed before the child's time.
    const ended = child.exitCode !== null || child.signalCode !== null
    const missed = ended || pid === undefined || isEnding(pid)
    const soon = !missed && performance.now() - at < SOON_MS
    this.#late =
      !first && (missed || (!soon && place?.identity !== undefined && before?.kills !== 0))
    this.#unheard = missed || (before !== undefined && before.kills + before.failed > 0)
    this.#killsBefore = soon ? kills : undefined
    this.#before = first && before ? { ...before, ...NOTHING } : before
    const others = before?.pids?.some(one => !isOf(one, pid ?? 0)) ?? true
    this.#own = first || (!this.#late && !others)
    this.#hushed =
      place?.identity === undefined
        ? () => {}
        : hearStarts(place.identity, () => (this.#own = false))
    this.#notices = place && new Notices(place, () => !this.#ended)
    this.#episodes = place && new Episodes(place, child.pid)
  }

  async report(): Promise<ExitReport> {
    try {
      const end = await endOf(this.#child)
      this.#exitAt = performance.now()
      this.#ended = true
      return judge(await this.#facts(end))
    } finally {
      this.#hushed()
      this.#episodes?.close()
      this.#notices?.close()
    }
  }

  async #facts({ code, signal, notStarted }: Ended): Promise<ExitFacts> {
    const all = machineKills()
    const after = this.#place && sampleGroup(this.#place)
    const killed = this.#before && after && grown(this.#late ? 0 : this.#before.kills, after.kills)
    await this.#settle(after === undefined, killed)
    const ooms = this.#notices?.ooms ?? { self: 0, ancestor: 0, unknown: 0 }
    const seen = this.#notices?.kills ?? 0
    const limit = after?.limit ?? this.#before?.limit
    const { peak, usage = 0 } = after ?? {}
    const base = this.#late ? undefined : this.#before
    const high = this.#own ? (peak ?? usage) : usage
    return {
      notStarted,
      pid: this.#pid,
      code,
      signal,
      own: this.#own,
      late: this.#late,
      gone: after === undefined,
      kernelKills: killed ?? (seen > 0 ? seen : undefined),
      machineKills:
        this.#killsBefore === undefined || all === undefined
          ? undefined
          : grown(this.#killsBefore, all),
      ooms,
      oomsOver: (this.#notices?.lastAt ?? 0) < (this.#episodes?.overAt(this.#exitAt) ?? 0),
      below: after === undefined ? 0 : grown(base?.below, after.below),
      watched: this.#notices?.whole === true && !this.#unheard,
      failed: after === undefined ? 0 : grown(base?.failed, after.failed),
      refused:
        after !== undefined && (after.disabled || base?.disabled === true)
          ? grown(base?.met, after.met)
          : 0,
      freed: limit !== undefined && usage < limit / 2,
      near: limit !== undefined && high >= limit - limit / 16,
      episodes: this.#episodes?.facts(this.#exitAt) ?? [],
      peak: this.#own ? peak : undefined,
      limit,
    }
  }

  /** Waits for what is on its way. */
  async #settle(gone: boolean, killed: number | undefined): Promise<void> {
    // What the sentinel has reported by now.
    try {
      binding().drain()
    } catch {}
    const notices = this.#notices
    if (notices !== undefined) {
      if (gone) await within(REMOVAL_MS, notices.removed)
      else if (killed !== 0) await within(NOTIFY_MS, notices.heard)
      else await new Promise(setImmediate)
    }
    if (this.#episodes !== undefined) await within(EPISODE_MS, this.#episodes.settled())
  }
}

/**
 * Whether a child died of memory: resolves when it has ended, with what is known about that. To be called right after
 * the child was spawned: what happened before the call is known only in a group that this process has made for it. For
 * children of this package's `spawn()` and `fork()`, started through `groupOptions()`, or of `child_process`, which are
 * where this process is. Changes nothing, needs no right.
 *
 * With a group of the child's own, in which no process was before and no other is started, `'yes'` and `'no'` are
 * certain, also for a process that the child has started and outlived, and when another program removes the group right
 * after the end. In a group that others share it goes by the counters of the group and the machine, the signal, and the
 * guards of this process, and says `'likely'` or `'unknown'` where those do not tell. A killer in user space that is not
 * a guard of this process (systemd-oomd, earlyoom, another process's guard) counts as `by: 'other'`.
 *
 * Never rejects. A child that could not be started gives `oom: 'no'`, `code: null` and the reason in `summary`; its
 * `'error'` event remains the caller's.
 *
 * @throws TypeError if `child` is no ChildProcess
 */
export function exitReport(child: ChildProcess): Promise<ExitReport> {
  if (!(child instanceof ChildProcess)) {
    throw invalidType('child', 'an instance of ChildProcess', child)
  }
  return new Collector(child).report()
}
