// OomMetrics: gauges and counters of guards, watches and groups. It reads when it is asked, and stands on the public
// interfaces alone: real and simulated groups are the same to it.
import type { MemoryGroup, OomGuard } from '../../types/group.js'
import type { GuardStats, Outcome } from '../../types/guard.js'
import type {
  MetricDescription,
  MetricFamily,
  MetricSample,
  MetricsOptions,
} from '../../types/metrics.js'
import type { OomEvent } from '../../types/watch.js'
import { integer, invalidType, options as objectOf } from '../base/args.js'
import { FAMILIES, type FamilyKey } from './families.js'
import { CONTENT_TYPE, textOf } from './text.js'

const MOST_GROUPS = 10_000
const DEFAULT_GROUPS = 200

type Totals = Pick<GuardStats, 'byOutcome' | 'totalOomNs' | 'worstLateNs' | 'missed'>

/** What one value of the label `group` stands for. */
class Entry {
  readonly guards = new Set<OomGuard>()
  readonly groups = new Set<MemoryGroup>()
  readonly events = new Map<string, number>()
  /** Of guards that have been deleted: a counter never goes back. */
  #before: Totals | undefined

  /** It may make room for another one: deleted, or of a group that is gone. */
  get idle(): boolean {
    const over = this.events.size === 0 || this.events.has('removed')
    return this.guards.size === 0 && this.groups.size === 0 && over
  }

  keep({ stats }: OomGuard): void {
    this.#before = added(this.#before, stats)
  }

  /** undefined: there has been no guard. */
  totals(): Totals | undefined {
    return [...this.guards].reduce((sum, { stats }) => added(sum, stats), this.#before)
  }
}

function added(sum: Totals | undefined, more: Totals): Totals {
  if (sum === undefined) return more
  const byOutcome = { ...sum.byOutcome }
  for (const outcome of Object.keys(byOutcome) as Outcome[]) {
    byOutcome[outcome] += more.byOutcome[outcome]
  }
  return {
    byOutcome,
    totalOomNs: sum.totalOomNs + more.totalOomNs,
    worstLateNs: Math.max(sum.worstLateNs, more.worstLateNs),
    missed: sum.missed + more.missed,
  }
}

const runningOf = ({ stats }: OomGuard): number =>
  stats.episodes - Object.values(stats.byOutcome).reduce((sum, n) => sum + n, 0)

/**
 * Gauges and counters of guards, watches and groups, for Prometheus (`text()`), prom-client or OpenTelemetry
 * (`collect()`), none of which this package depends on.
 *
 * The number of series is bounded: each of at most `maxGroups` groups has up to 23. The label `group` is the path of
 * what was added, not of each group below a guarded or watched one. Where there are more groups, one that has been
 * deleted or removed makes room, the oldest first; else the new one is left out and counted (up to 10,000).
 */
export class OomMetrics {
  /** What {@link collect} gives, without samples: to register instruments in advance. */
  static readonly families: readonly MetricDescription[] = Object.values(FAMILIES)

  /** The `Content-Type` of {@link text}. */
  readonly contentType: string = CONTENT_TYPE
  readonly #maxGroups: number
  readonly #entries = new Map<string, Entry>()
  readonly #leftOut = new Set<unknown>()

  constructor(options?: MetricsOptions) {
    const { maxGroups = DEFAULT_GROUPS } = objectOf('options', options)
    this.#maxGroups = integer('options.maxGroups', maxGroups, 1, MOST_GROUPS)
  }

  /** Adds a guard and its group, or a group. Adding it again changes nothing. */
  add(source: OomGuard | MemoryGroup): this {
    const guard = guardOf(source)
    const group = guard === undefined ? (source as MemoryGroup) : guard.group
    const entry = this.#entry(group.path)
    if (entry === undefined) this.#leaveOut(source)
    else if (guard === undefined) entry.groups.add(group)
    else entry.guards.add(guard)
    return this
  }

  /** What a guard has counted stays. */
  delete(source: OomGuard | MemoryGroup): void {
    this.#leftOut.delete(source)
    const guard = guardOf(source)
    const entry = this.#entries.get((guard?.group ?? (source as MemoryGroup)).path)
    if (guard === undefined) entry?.groups.delete(source as MemoryGroup)
    else if (entry?.guards.delete(guard)) entry.keep(guard)
  }

  /**
   * Counts an event that a watch has delivered.
   *
   * @param group the label, such as the root of a watched tree; default the event's own group, which may be one of
   * many
   */
  count(event: OomEvent, group?: string): void {
    if (typeof event !== 'object' || event === null || typeof event.type !== 'string') {
      throw invalidType('event', 'an event of a watch', event)
    }
    const label = group ?? ('group' in event ? event.group : '')
    const events = this.#entry(label)?.events
    if (events === undefined) return this.#leaveOut(label)
    const times = event.type === 'overflow' ? event.missed : 'count' in event ? event.count : 1
    events.set(event.type, (events.get(event.type) ?? 0) + times)
  }

  /** Reads all of it. What a group does not have (it is gone, or its kernel has no such file) is left out. */
  async collect(): Promise<MetricFamily[]> {
    const samples = Object.fromEntries(
      Object.keys(FAMILIES).map(key => [key, [] as MetricSample[]]),
    ) as Record<FamilyKey, MetricSample[]>
    const read = await Promise.all(
      [...this.#entries].map(async ([group, entry]) => ({
        group,
        entry,
        ...(await stateOf(entry)),
      })),
    )
    for (const { group, entry, usage, limit, kills } of read) {
      const put = (
        key: FamilyKey,
        value: number | undefined,
        more: Record<string, string> = {},
      ) => {
        if (value !== undefined) samples[key].push({ labels: { group, ...more }, value })
      }
      const totals = entry.totals()
      for (const [outcome, n] of Object.entries(totals?.byOutcome ?? {}))
        put('episodes', n, { outcome })
      if (totals !== undefined) {
        const guards = [...entry.guards]
        put(
          'running',
          guards.reduce((sum, guard) => sum + runningOf(guard), 0),
        )
        put('missed', totals.missed)
        put('seconds', totals.totalOomNs / 1e9)
        put('late', totals.worstLateNs / 1e9)
        put(
          'guarded',
          guards.reduce((sum, { stats }) => sum + stats.groups, 0),
        )
      }
      for (const [type, n] of entry.events) put('events', n, { type })
      put('usage', usage)
      put('limit', limit)
      put('kills', kills)
    }
    samples.leftOut.push({ labels: {}, value: this.#leftOut.size })
    return (Object.keys(FAMILIES) as FamilyKey[]).map(key => ({
      ...FAMILIES[key],
      samples: samples[key],
    }))
  }

  /** The same in the Prometheus text format, version 0.0.4. */
  async text(): Promise<string> {
    return textOf(await this.collect())
  }

  /** Counted up to a bound, too. */
  #leaveOut(source: unknown): void {
    if (this.#leftOut.size < MOST_GROUPS) this.#leftOut.add(source)
  }

  #entry(group: string): Entry | undefined {
    const found = this.#entries.get(group)
    if (found !== undefined) return found
    if (this.#entries.size >= this.#maxGroups) {
      const idle = [...this.#entries].find(([, entry]) => entry.idle)
      if (idle === undefined) return undefined
      this.#entries.delete(idle[0])
    }
    const entry = new Entry()
    this.#entries.set(group, entry)
    return entry
  }
}

function guardOf(source: OomGuard | MemoryGroup): OomGuard | undefined {
  if (typeof source === 'object' && source !== null) {
    if ('stats' in source) return source
    if ('usage' in source) return undefined
  }
  throw invalidType('source', 'a guard or a group', source)
}

interface State {
  usage?: number
  limit?: number
  kills?: number | undefined
}

async function stateOf({ guards, groups }: Entry): Promise<State> {
  const group = [...groups, ...[...guards].map(guard => guard.group)].at(-1)
  if (group === undefined) return {}
  const [usage, limits, counters] = await Promise.allSettled([
    group.usage(),
    group.limits(),
    group.counters(),
  ])
  return {
    ...(usage.status === 'fulfilled' ? { usage: usage.value } : {}),
    ...(limits.status === 'fulfilled' ? { limit: limits.value.max } : {}),
    ...(counters.status === 'fulfilled' ? { kills: counters.value.oomKill } : {}),
  }
}
