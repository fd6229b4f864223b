// What `cgroup-oom guard` prints: one line an event, as text or as JSON.
import type { OomEpisode } from '../../../types/group.js'
import type { EpisodeEnd, EpisodeReason } from '../../../types/guard.js'
import { count, duration, shown, size } from '../format.js'
import { EXPLAINED } from '../run-report.js'

export type GuardLine =
  | { type: 'armed'; group: string; heldBy: 'kernel' | 'signals'; delayMs: number }
  | { type: 'changed'; group: string; delayMs: number }
  | EpisodeLine
  | EpisodeEndLine
  | { type: 'gone' | 'waiting' | 'released'; group: string }
  | { type: 'failed'; group: string; message: string; code?: string | undefined }
  | { type: 'command'; group: string; message: string }
  | { type: 'ready' | 'reloaded'; armed: number; groups: number }
  | { type: 'problem'; message: string }
  | { type: 'metrics'; url: string }

interface EpisodeLine {
  type: 'begin'
  reason: EpisodeReason
  /** The group that is out of memory, or thrashes: the guarded one or one below it. */
  group: string
  guarded: string
  id: number
  usage: number
  limit: number
  delayMs: number
  startedAt: bigint
  deadline: bigint
}

type EpisodeEndLine = Omit<EpisodeLine, 'type'> & { type: 'end' } & EpisodeEnd

export function beginOf(guarded: string, delayMs: number, episode: OomEpisode): EpisodeLine {
  const { reason, group, id, usage, limit, startedAt, deadline } = episode
  return { type: 'begin', reason, group, guarded, id, usage, limit, delayMs, startedAt, deadline }
}

/** The CGROUP_OOM_* of a command: numbers are bytes and milliseconds. */
export function variablesOf(begin: EpisodeLine): Record<string, string> {
  const left = Number(begin.deadline - process.hrtime.bigint()) / 1e6
  return {
    CGROUP_OOM_GROUP: begin.group,
    CGROUP_OOM_GUARDED: begin.guarded,
    CGROUP_OOM_ID: String(begin.id),
    CGROUP_OOM_REASON: begin.reason,
    CGROUP_OOM_USAGE: String(begin.usage),
    CGROUP_OOM_LIMIT: String(begin.limit),
    CGROUP_OOM_DELAY_MS: String(begin.delayMs),
    CGROUP_OOM_LEFT_MS: String(Math.max(0, Math.floor(left))),
  }
}

const plain = (_: string, value: unknown) =>
  typeof value === 'bigint' ? String(value) : value === Infinity ? 'max' : value

/** As one line of JSON: points in time as strings of nanoseconds, no limit as "max". */
export function jsonOf(line: GuardLine): string {
  return JSON.stringify({ time: new Date().toISOString(), ...line }, plain)
}

const BEGINS: Record<EpisodeReason, string> = { oom: 'out of memory', thrash: 'thrashing' }
const MEANS = { ...EXPLAINED, cancelled: 'the guard was ended' }

function endText(end: EpisodeEndLine): string {
  const steps = end.steps.map(({ action, code }) =>
    code === undefined ? action : `${action}: ${code}`,
  )
  const killed = end.killed.length + end.kernelKills
  const parts = [
    `after ${duration(Number(end.at - end.startedAt))}: ${MEANS[end.outcome]}`,
    steps.length === 0 ? '' : ` (${steps.join(', ')})`,
    killed === 0 ? '' : `, ${count(killed, 'process', 'processes')} killed`,
    end.killed.length === 0 ? '' : `: ${end.killed.join(', ')}`,
  ]
  return parts.join('')
}

export function statusOf({ armed, groups }: { armed: number; groups: number }): string {
  return `guarding ${armed === groups ? '' : `${armed} of `}${count(groups, 'group')}`
}

function details(line: GuardLine): string {
  switch (line.type) {
    case 'armed':
      return `held by ${line.heldBy}, ${line.delayMs} ms`
    case 'changed':
      return `${line.delayMs} ms`
    case 'begin':
      return `${BEGINS[line.reason]}: ${size(line.usage)} of ${size(line.limit)}`
    case 'end':
      return endText(line)
    case 'failed':
    case 'command':
    case 'problem':
      return line.message
    case 'metrics':
      return line.url
    case 'ready':
    case 'reloaded':
      return statusOf(line)
    default:
      return ''
  }
}

/** Time (UTC), type, group ("-": none), and what is to be said of it. */
export function textOf(line: GuardLine): string {
  const group = 'group' in line ? shown(line.group) : '-'
  return `${new Date().toISOString()} ${line.type} ${group} ${shown(details(line))}`.trimEnd()
}
