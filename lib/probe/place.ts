// Where this process stands and what bounds it: the parts of the ProbeReport that are no single capability.
import { dirname, join } from 'node:path'
import type { Capability, ProbeBounds, ProbeNote, ProbePlace } from '../../types/probe.js'
import { placeKind, switchFor, wayHome } from '../place/decide.js'
import { signsOf, type Signs } from '../place/signs.js'
import { runtimeOf } from '../base/runtime.js'
import type { Unit } from '../place/unit.js'
import type { Found } from './checks.js'
import type { Machine } from './machine.js'

export const signsHere = (
  machine: Machine,
  found: Found | undefined,
  unit: Unit | undefined,
): Signs | undefined =>
  found === undefined ? undefined : signsOf(machine, found, unit, machine.uid)

const KERNEL = "the hold by the kernel's control files"
const SIGNALS = "guard({ hold: { by: 'signals' } })"
const READING = 'watches, usage(), limits() and counters()'
// v1: a watch registers itself in cgroup.event_control, which is a write.
const READING_V1 = 'usage(), limits() and counters()'

function worksIn(kind: ProbePlace['kind'], signs: Signs | undefined): string {
  const reading = signs?.version === 1 && signs.readOnly ? READING_V1 : READING
  switch (kind) {
    case 'delegated':
      return `everything: groups with limits, ${KERNEL}, watches`
    case 'container':
      return signs !== undefined && wayHome(signs).how === 'settle'
        ? `everything, in groups below the container's own, once home({ settle: true }) has made room for them`
        : "everything, in groups below the container's own: MemoryGroup.home()"
    case 'systemd':
      return `${reading}, and ${SIGNALS}${signs !== undefined && wayHome(signs).how === 'scope' ? '; everything in a scope that MemoryGroup.home() asks systemd for' : ''}`
    case 'read-only':
      return `${reading}, and ${SIGNALS}`
    case 'none':
      return 'import, probe() and simulate()'
  }
}

function moreIn(
  kind: ProbePlace['kind'],
  signs: Signs | undefined,
  memory: Capability,
): string | undefined {
  if (signs === undefined) return memory.remedy ?? 'use Linux with a memory controller'
  if (kind === 'systemd') return 'Delegate=yes in the systemd unit'
  if (kind !== 'read-only') return undefined
  return switchFor(signs.readOnly ? 'EROFS' : (signs.own.closed ?? 'EACCES'), signs)
}

export function place(
  machine: Machine,
  signs: Signs | undefined,
  memory: Capability,
  unit: Unit | undefined,
): ProbePlace {
  const kind = placeKind(signs)
  const more = moreIn(kind, signs, memory)
  return {
    kind,
    runtime: (machine.platform === 'linux' ? runtimeOf(machine) : undefined) ?? null,
    unit: unit?.name ?? null,
    works: worksIn(kind, signs),
    ...(more === undefined ? {} : { more }),
  }
}

export function home(signs: Signs): Capability {
  const way = wayHome(signs)
  switch (way.how) {
    case 'there':
      return { available: true, reason: `groups with limits can be made below ${way.path}` }
    case 'settle':
      return {
        available: true,
        reason: `home({ settle: true }) moves the processes of ${way.path} into a group below it first`,
      }
    case 'scope':
      return { available: true, reason: 'systemd is asked for a scope with Delegate=yes' }
    case 'none':
      return {
        available: false,
        reason: signs.readOnly
          ? 'cgroupfs is mounted read-only'
          : `${signs.own.path} is not delegated to this user (${way.why})`,
        remedy: switchFor(way.why, signs),
      }
  }
}

/** This process's group and all above it, as far as they can be seen, from the inside out. */
function upwards({ mount, self }: Found): string[] {
  const all: string[] = []
  for (let at = self ?? mount.path; at.startsWith(mount.path); at = dirname(at)) {
    all.push(at)
    if (at === mount.path || at === '/') break
  }
  return all
}

// What v1 has for "no limit": the largest number of whole pages in a long.
const V1_UNLIMITED = 0x7fff_ffff_ffff_0000n

function sizeOf(text: string | undefined): number | undefined {
  const word = text?.trim()
  if (word === undefined || !/^\d+$/.test(word)) return undefined
  return BigInt(word) >= V1_UNLIMITED ? undefined : Number(word)
}

function limitOf(machine: Machine, found: Found): Pick<ProbeBounds, 'limit' | 'limitedBy'> {
  const name = found.mount.version === 1 ? 'memory.limit_in_bytes' : 'memory.max'
  let limit: number | null = null
  let limitedBy: string | null = null
  for (const group of upwards(found)) {
    const size = sizeOf(machine.read(join(group, name)))
    if (size === undefined || (limit !== null && size >= limit)) continue
    limit = size
    limitedBy = group
  }
  // v1 says what counts also where the groups above cannot be seen.
  const stat = machine.read(join(found.self ?? found.mount.path, 'memory.stat'))
  const whole = sizeOf(/^hierarchical_memory_limit (\d+)$/m.exec(stat ?? '')?.[1])
  if (whole !== undefined && (limit === null || whole < limit)) {
    return { limit: whole, limitedBy: null }
  }
  return { limit, limitedBy }
}

function scoreOf(machine: Machine, pid: number | 'self'): number | null {
  const text = machine.read(`/proc/${pid}/oom_score_adj`)?.trim()
  return text === undefined || text === '' ? null : Number(text)
}

export function bounds(
  machine: Machine,
  found: Found | undefined,
  unit: Unit | undefined,
): ProbeBounds {
  // Elsewhere there is nothing to read.
  const linux = machine.platform === 'linux'
  const scores = (linux ? machine.children() : [])
    .map(pid => scoreOf(machine, pid))
    .filter(score => score !== null)
  const whole = found === undefined ? [] : upwards(found)
  const together = whole.filter(
    group => machine.read(join(group, 'memory.oom.group'))?.trim() === '1',
  )
  return {
    ...(found === undefined ? { limit: null, limitedBy: null } : limitOf(machine, found)),
    heapLimit: machine.heapLimit,
    oomGroup: together.at(-1) ?? null,
    oomPolicy: unit?.oomPolicy ?? null,
    oomScoreAdj: linux ? scoreOf(machine, 'self') : null,
    childrenOomScoreAdj: scores.length === 0 ? null : Math.min(...scores),
  }
}

const MIB = 1048576
// What Node.js has besides V8's heap, when it does little: code, stacks, buffers.
const BESIDE_HEAP = 64 * MIB

const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`

export function notes(all: ProbeBounds, where: ProbePlace): ProbeNote[] {
  const out: ProbeNote[] = []
  if (all.oomGroup !== null) {
    out.push({
      about: 'oom-group',
      reason: `memory.oom.group of ${all.oomGroup} is 1, as Kubernetes sets it: one OOM kills all of its processes together`,
      remedy: 'act before the kernel does: guard(), or watchUsage()',
    })
  }
  if (all.oomPolicy === 'stop' || all.oomPolicy === 'kill') {
    const effect = all.oomPolicy === 'stop' ? 'stops' : 'kills'
    out.push({
      about: 'oom-policy',
      reason: `OOMPolicy=${all.oomPolicy} of ${where.unit}: when the kernel kills one of its processes, systemd ${effect} the whole unit`,
      remedy: 'OOMPolicy=continue in the unit',
    })
  }
  const { limit, heapLimit } = all
  if (limit !== null && heapLimit + BESIDE_HEAP > limit) {
    const room = Math.max(limit - BESIDE_HEAP, limit / 2)
    out.push({
      about: 'heap',
      reason: `V8 lets the heap of this process grow to ${mib(heapLimit)}, and the limit in effect is ${mib(limit)}: the kernel kills before V8 collects hard or throws`,
      remedy: `node --max-old-space-size=${Math.floor(room / MIB)}, or less`,
    })
  }
  const { oomScoreAdj: own, childrenOomScoreAdj: children } = all
  if (own !== null && own > -1000 && (children ?? own) <= own) {
    out.push({
      about: 'oom-score-adj',
      reason:
        children === null
          ? `children start with the oom_score_adj of this process, ${own}: the kernel takes whichever is largest, this process as well`
          : `a child has oom_score_adj ${children}, this process ${own}: the kernel may take this process before it`,
      remedy: 'spawn with { oomScoreAdj: 500 }, so that the kernel takes the child first',
    })
  }
  return out
}
