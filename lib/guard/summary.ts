// An episode in one sentence, for a log or a person. Pure.
import type { OomEpisode } from '../../types/group.js'
import type { EpisodeEnd, EpisodeMember, Outcome } from '../../types/guard.js'
import { count, duration, shown, size } from '../base/format.js'

const ENDED: Record<Outcome, string> = {
  recovered: 'memory was freed',
  'limit-raised': 'the limit was raised',
  killed: 'a process was killed',
  signalled: 'a process that had been asked to end has ended',
  plan: 'the plan ended it',
  fallback: 'the fallback ended it',
  guardian: 'the guardian ended it',
  removed: 'the group was removed',
  cancelled: 'the guard was disposed',
}

// More are a number.
const MOST_NAMED = 4

function named(pid: number, members: readonly EpisodeMember[]): string {
  const member = members.find(one => one.pid === pid)
  if (member === undefined) return String(pid)
  return `${pid} (${shown(member.name)}, ${size(member.resident)})`
}

/** What is in `end` but its summary. */
export function summaryOf(
  { usage, limit, startedAt }: Pick<OomEpisode, 'usage' | 'limit' | 'startedAt'>,
  { outcome, at, killed, kernelKills, members }: EpisodeEnd,
): string {
  const parts = [
    `out of memory at ${size(usage)} of ${size(limit)}`,
    `after ${duration(Number(at - startedAt))} ${ENDED[outcome]}`,
  ]
  if (killed.length > 0) {
    const names = killed.slice(0, MOST_NAMED).map(pid => named(pid, members))
    const more = killed.length - names.length
    parts.push(`killed: ${names.join(', ')}${more === 0 ? '' : ` and ${more} more`}`)
  }
  if (kernelKills > 0) parts.push(`the kernel killed ${count(kernelKills, 'task')}`)
  return parts.join('; ')
}
