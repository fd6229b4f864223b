// From facts to a verdict: was it out of memory, whose limit was it, and who killed. Pure.
//
// Kernel contract: a kill by the OOM killer counts in the victim's group (v1 oom_kill of memory.oom_control, v2 of
// memory.events, there with all groups below) and in oom_kill of /proc/vmstat, before the victim has ended, whosever
// limit it was. So a counter that stands still excludes the kernel, for whatever shares the counter.
import type { ExitReport } from '../../types/exit.js'
import { count, size } from '../base/format.js'
import type { EpisodeFact, ExitFacts } from './facts.js'

type Verdict = Pick<ExitReport, 'oom' | 'origin' | 'by'> & {
  /** Completes "…: " in the summary. */
  why: string
}

// By these a process is asked or made to end from outside; others it mostly causes itself.
const ENDING: readonly (NodeJS.Signals | null)[] = [
  'SIGKILL',
  'SIGTERM',
  'SIGINT',
  'SIGHUP',
  'SIGQUIT',
]

/** A shell's status for a command that was killed. */
const KILLED_BELOW = 137

/** Ended by SIGKILL, or by a shell whose command was. */
const wasKilled = ({ code, signal }: ExitFacts): boolean =>
  signal === 'SIGKILL' || code === KILLED_BELOW
const failedItself = (facts: ExitFacts): boolean =>
  facts.code !== 0 && !wasKilled(facts) && !ENDING.includes(facts.signal)

/** How many tasks the kernel has killed in the group; undefined: perhaps some. */
function kernelKillsOf({ kernelKills, machineKills, gone, late }: ExitFacts): number | undefined {
  if (kernelKills !== undefined && kernelKills > 0) return kernelKills
  if (machineKills === 0 && !late) return 0
  return gone ? undefined : kernelKills
}

function originOf(facts: ExitFacts): NonNullable<ExitReport['origin']> {
  const { self, ancestor, unknown } = facts.ooms
  const own = self > 0 || facts.failed > 0
  if (own && ancestor === 0) return 'self'
  if (ancestor > 0 && !own) return 'ancestor'
  const unseen = unknown > 0 || facts.below > 0 || !facts.watched || facts.gone
  return own || unseen ? 'unknown' : 'machine'
}

const LIMIT: Record<NonNullable<ExitReport['origin']>, string> = {
  self: "at its group's limit",
  ancestor: 'at the limit of a group above its own',
  unknown: 'at a limit that is not known',
  machine: 'since the whole machine was out of memory',
}

function byGuard(facts: ExitFacts): Verdict | undefined {
  const { own, pid, signal, episodes } = facts
  const isChilds = (episode: EpisodeFact) => {
    const { killed, signalled, outcome, kernelKills } = episode
    if (signal === 'SIGKILL' && killed.includes(pid!)) return true
    if (own && killed.length > 0) return true
    const sent = signalled.filter(one => one.pid === pid)
    if (signal !== null && sent.some(one => one.signal === signal)) return true
    return outcome === 'guardian' && own && kernelKills === 0 && facts.kernelKills === 0
      ? wasKilled(facts)
      : false
  }
  const episode = episodes.find(isChilds)
  if (episode !== undefined) {
    const { killed } = episode
    const what =
      killed.length > 0
        ? `a guard killed ${count(killed.length, 'process', 'processes')}`
        : episode.outcome === 'guardian'
          ? 'the guardian killed'
          : `a guard sent ${signal}`
    const origin = episode.of
    const thrash = episode.reason === 'thrash' ? ', where it thrashed' : ''
    return { oom: 'yes', origin, by: 'guard', why: `${what} ${LIMIT[origin]}${thrash}` }
  }
  return undefined
}

/** Asked to end in an episode, or killed in a group that others share. */
function perhapsByGuard(facts: ExitFacts): Verdict | undefined {
  const { pid, signal, episodes } = facts
  const asked = episodes.find(({ signalled }) =>
    signalled.some(one => one.pid === pid && ENDING.includes(one.signal)),
  )
  if (asked !== undefined && signal === null) {
    const why = `a guard had asked it to end ${LIMIT[asked.of]}`
    return {
      oom: asked.outcome === 'signalled' ? 'yes' : 'likely',
      origin: asked.of,
      by: 'guard',
      why,
    }
  }
  const killed = episodes.find(episode => episode.killed.length > 0)
  if (killed === undefined || signal === 'SIGKILL') return undefined
  const why = 'a guard killed in its group, which others share'
  if (wasKilled(facts)) return { oom: 'likely', origin: killed.of, by: 'guard', why }
  return { oom: 'unknown', why: `${why}: whose they were is not known` }
}

function byKernel(facts: ExitFacts): Verdict | undefined {
  const { own, ooms, late } = facts
  const kills = kernelKillsOf(facts)
  if (kills === 0) return undefined
  const origin = originOf(facts)
  const here = ooms.self + ooms.ancestor + ooms.unknown > 0 || facts.failed > 0
  if (kills === undefined) {
    // One that was watched has had no OOM then: what is left is the machine's.
    const elsewhere = (facts.machineKills ?? 0) > 0 && !facts.watched
    if (own && here && wasKilled(facts)) {
      return { oom: 'yes', origin, by: 'kernel', why: `the kernel killed ${LIMIT[origin]}` }
    }
    if (wasKilled(facts) && (here || elsewhere)) {
      const why = here
        ? `its group was out of memory, and its counters are gone`
        : `the kernel killed somewhere on this machine, and the group's counters cannot be read`
      return { oom: 'likely', origin: here ? origin : 'unknown', by: 'kernel', why }
    }
    const why = "the group's counters cannot be read: whether the kernel killed in it is not known"
    return { oom: 'unknown', why }
  }
  const tasks = count(kills, 'task')
  if (own && !late) {
    return { oom: 'yes', origin, by: 'kernel', why: `the kernel killed ${tasks} ${LIMIT[origin]}` }
  }
  const shared = late
    ? `the kernel has killed ${tasks} in its group, perhaps before this`
    : `the kernel killed ${tasks} in its group, which others share`
  if (wasKilled(facts)) return { oom: 'likely', origin, by: 'kernel', why: shared }
  return { oom: 'unknown', why: `${shared}: whose they were is not known` }
}

function bySomebody(facts: ExitFacts): Verdict | undefined {
  const { signal, ooms, oomsOver, near, episodes } = facts
  if (!wasKilled(facts) && !ENDING.includes(signal)) return undefined
  const other = 'neither the kernel nor a guard of this process'
  const word = signal ?? 'SIGKILL'
  // v2 has no outcome of its own for a kill from outside: the members' end is seen as freed memory.
  const full = episodes.find(
    ({ reason, outcome, together }) =>
      reason === 'oom' &&
      (outcome === undefined || (together && (outcome === 'killed' || outcome === 'recovered'))),
  )
  if (full !== undefined || (!oomsOver && ooms.self + ooms.ancestor + ooms.unknown > 0)) {
    const origin = full?.of ?? originOf(facts)
    const why = `${word} came from ${other}, while its group was out of memory`
    return { oom: 'likely', origin, by: 'other', why }
  }
  if (near && wasKilled(facts)) {
    return { oom: 'unknown', by: 'other', why: `${word} came from ${other}, close to the limit` }
  }
  const why = `not out of memory: ${word} came from ${other}`
  return { oom: 'no', by: 'other', why }
}

/** The kernel has refused memory to calls instead of killing. */
function byRefusal(facts: ExitFacts): Verdict | undefined {
  if (facts.code === 0 || (facts.failed === 0 && facts.refused === 0)) return undefined
  if (!failedItself(facts)) return undefined
  const refused = 'its group met its limit and nobody was killed: calls may have failed (ENOMEM)'
  if (facts.own && (facts.failed > 0 || facts.freed)) {
    return { oom: 'likely', origin: 'self', why: refused }
  }
  return { oom: 'unknown', why: refused }
}

function notByMemory({ signal, code }: ExitFacts): Verdict {
  const heap = signal === 'SIGABRT' || code === 134
  const hint = heap ? ' (V8 ends so at the limit of its own heap: --max-old-space-size)' : ''
  return { oom: 'no', why: `not out of memory${hint}` }
}

function ending({ notStarted, code, signal }: ExitFacts): string {
  if (notStarted !== undefined) return 'not started'
  return signal === null ? `exited with ${code}` : `ended by ${signal}`
}

function verdictOf(facts: ExitFacts): Verdict {
  if (facts.notStarted !== undefined) return { oom: 'no', why: facts.notStarted }
  return (
    byGuard(facts) ??
    byKernel(facts) ??
    perhapsByGuard(facts) ??
    bySomebody(facts) ??
    byRefusal(facts) ??
    notByMemory(facts)
  )
}

const PREFIX: Record<ExitReport['oom'], string> = {
  yes: 'out of memory: ',
  likely: 'likely out of memory: ',
  unknown: 'perhaps out of memory: ',
  no: '',
}

export function judge(facts: ExitFacts): ExitReport {
  const { why, ...verdict } = verdictOf(facts)
  const { code, signal, peak, limit, episodes } = facts
  const sure = verdict.oom === 'yes' && verdict.by === 'kernel'
  const used = peak === undefined ? '' : `, peak ${size(peak)}`
  const of = limit === undefined || used === '' ? '' : ` of ${size(limit)}`
  return {
    ...verdict,
    code,
    signal,
    // Counters that went with the group.
    kernelKills: Math.max(facts.kernelKills ?? 0, sure ? 1 : 0),
    killed: [...new Set(episodes.flatMap(({ killed }) => killed))],
    episodes: episodes.length,
    ...(peak === undefined ? {} : { peak }),
    ...(limit === undefined ? {} : { limit }),
    summary: `${ending(facts)}; ${PREFIX[verdict.oom]}${why}${used}${of}`,
  }
}
