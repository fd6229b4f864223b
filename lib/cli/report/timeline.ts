// What happened in an episode, in order and in words: for the text and the pictures alike.
import type { RecordedEpisode } from '../../../types/record.js'
import { count, duration, shown, size } from '../format.js'

export interface Entry {
  /** Milliseconds since the episode began. */
  at: number
  kind: 'begin' | 'step' | 'kill' | 'deadline' | 'end'
  text: string
}

export const sizeOf = (bytes: number | null): string => size(bytes ?? Infinity)
/** '0', '17 µs', '1.2 ms', '503 ms', '1.01 s': as exact as two marks in a picture are told apart. */
export function durationOf(ms: number): string {
  if (ms === 0) return '0'
  if (ms < 1) return duration(ms * 1e6)
  if (ms < 1000) return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`
  return `${(ms / 1000).toFixed(2)} s`
}

export const groupOf = ({ group }: RecordedEpisode): string => shown(group)

const NAMED = 3

/** 'hog (123), 124 and 5 more'. */
function processes(episode: RecordedEpisode, pids: readonly number[]): string {
  const names = new Map(episode.members.map(({ pid, name }) => [pid, name]))
  const words = pids.slice(0, NAMED).map(pid => {
    const name = names.get(pid)
    return name === undefined ? `${pid}` : `${shown(name)} (${pid})`
  })
  const more = pids.length - words.length
  return more > 0 ? `${words.join(', ')} and ${more} more` : words.join(', ')
}

/** 'hog (123) 15.2 MiB, sh (7) 0.4 MiB and 2 more'; undefined: not known. */
export function holders(episode: RecordedEpisode, most = NAMED): string | undefined {
  const { members, moreMembers } = episode
  if (moreMembers === undefined) return undefined
  const words = members
    .slice(0, most)
    .map(({ pid, name, resident }) => `${shown(name)} (${pid}) ${size(resident)}`)
  const more = members.length - words.length + moreMembers
  if (words.length === 0)
    return more === 0 ? 'no process' : `${count(more, 'process', 'processes')}`
  return more > 0 ? `${words.join(', ')} and ${more} more` : words.join(', ')
}

/** How many processes were killed, as far as it is known. */
export const killsOf = ({ killed, kernelKills }: RecordedEpisode): number =>
  killed.length + kernelKills

export const OUTCOMES: Record<string, string> = {
  recovered: 'memory was freed',
  'limit-raised': 'the limit was raised',
  killed: 'a process was killed',
  plan: 'the plan ended it',
  fallback: 'the fallback ended it',
  guardian: 'the guardian ended it',
  removed: 'the group was removed',
  cancelled: 'the guard was disposed',
}

export function explained({ outcome }: RecordedEpisode): string {
  return Object.hasOwn(OUTCOMES, outcome) ? OUTCOMES[outcome]! : 'ended'
}

/** `named`: the first entry says who held what. */
export function timelineOf(episode: RecordedEpisode, named = true): Entry[] {
  const { deadline, end, kernelKills, limit, reason, usage } = episode
  const held = named ? holders(episode) : undefined
  const entries: Entry[] = episode.steps.map(({ at, action, code, signal, killed, dryRun }) => ({
    at,
    kind: killed.length > 0 && (signal ?? 'SIGKILL') === 'SIGKILL' ? 'kill' : 'step',
    text:
      shown(action) +
      (dryRun ? ', due in a dry run' : '') +
      (code === undefined ? '' : `: ${shown(code)}`) +
      (killed.length === 0
        ? ''
        : `: ${shown(signal ?? 'SIGKILL')} to ${processes(episode, killed)}`),
  }))
  // One call of kill() may have been for several.
  const calls = new Map<string, RecordedEpisode['signalled']>()
  for (const one of episode.signalled) {
    if (one.by !== 'program') continue
    const key = `${one.at} ${one.signal}`
    calls.set(key, [...(calls.get(key) ?? []), one])
  }
  for (const call of calls.values()) {
    const { at, signal } = call[0]!
    const pids = call.map(({ pid }) => pid)
    entries.push({
      at,
      kind: signal === 'SIGKILL' ? 'kill' : 'step',
      text: `the program: ${shown(signal)} to ${processes(episode, pids)}`,
    })
  }
  if (deadline <= end) entries.push({ at: deadline, kind: 'deadline', text: 'the delay is over' })
  entries.sort((a, b) => a.at - b.at)
  entries.unshift({
    at: 0,
    kind: 'begin',
    text:
      `${reason === 'thrash' ? 'thrashing' : 'out of memory'} at ${size(usage)} of ${sizeOf(limit)}` +
      (held === undefined ? '' : `: ${held}`),
  })
  entries.push({
    at: end,
    kind: 'end',
    text:
      `${shown(episode.outcome)}: ${explained(episode)}` +
      (kernelKills === 0 ? '' : `, the kernel killed ${count(kernelKills, 'task')}`),
  })
  return entries
}
