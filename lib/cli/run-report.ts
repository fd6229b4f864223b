// What `cgroup-oom run` says of OOMs: a line for each episode of a guard, or for each of the
// kernel's kills where there is no guard.
import { setTimeout as sleep } from 'node:timers/promises'
import type { OomEpisode, OomGuard } from '../../types/group.js'
import type { EpisodeEnd } from '../../types/guard.js'
import { watchTree } from '../watch/watch.js'
import { count, duration, size } from './format.js'

export interface Reporter {
  /** Gives the group back: it has no members any more. */
  letGo(): Promise<void>
  /** When everything has been reported: the group is gone. */
  totals(): Promise<{ ooms: number; killed: number }>
  /** Reports no more, whatever there is. */
  close(): Promise<void>
}

// How long an episode of an empty group may take to be over.
const SETTLE_MS = 1000

type Say = (line: string) => void

const EXPLAINED: Record<EpisodeEnd['outcome'], string> = {
  recovered: 'memory was freed',
  'limit-raised': 'the limit was raised',
  killed: 'a process was killed',
  plan: 'the plan ended it',
  fallback: 'fallback',
  guardian: 'fallback by the guardian',
  removed: 'the group was removed',
  cancelled: 'the command had ended',
}

const killsOf = (end: EpisodeEnd): number => end.killed.length + end.kernelKills

/** What was done, in order, with what went wrong: ' (kill-group: ESRCH, kernel)'. */
function stepsOf({ steps }: EpisodeEnd): string {
  if (steps.length === 0) return ''
  const words = steps.map(({ action, code }) =>
    code === undefined ? action : `${action}: ${code}`,
  )
  return ` (${words.join(', ')})`
}

function describe({ group, usage, limit, startedAt }: OomEpisode, end: EpisodeEnd): string {
  const killed = killsOf(end)
  return (
    `out of memory: ${group} at ${size(usage)} of ${size(limit)}; after ` +
    `${duration(Number(end.at - startedAt))}: ${EXPLAINED[end.outcome]}${stepsOf(end)}` +
    (killed === 0 ? '' : `, ${count(killed, 'process', 'processes')} killed`)
  )
}

/** Of a guard, whose it becomes. */
export function reportEpisodes(guard: OomGuard, say: Say): Reporter {
  let killed = 0
  const reports: Promise<void>[] = []
  const report = async (episode: OomEpisode) => {
    const end = await episode.ended
    killed += killsOf(end)
    say(describe(episode, end))
  }
  const all = (async () => {
    for await (const episode of guard) reports.push(report(episode))
  })()
  // A guard that was lost: its killers are enabled, the command goes on.
  const ended = all.catch((error: Error) => say(error.message))
  return {
    async letGo() {
      // An episode that is not over yet is in a moment, and says then what it was that ended it.
      await Promise.race([Promise.all(reports), sleep(SETTLE_MS, undefined, { ref: false })])
      await guard.dispose()
    },
    close: () => guard.dispose(),
    async totals() {
      await ended
      await Promise.all(reports)
      return { ooms: guard.stats.episodes, killed }
    },
  }
}

/** Of an unguarded group and those below it, to the end of it. */
export async function reportKills(path: string, say: Say): Promise<Reporter> {
  let ooms = 0
  let killed = 0
  const watch = watchTree(path)
  await watch.ready
  const all = (async () => {
    for await (const event of watch) {
      if (event.type === 'oom' && event.origin !== 'ancestor') ooms += event.count
      if (event.type !== 'kill') continue
      killed += event.count
      say(`out of memory: ${event.group}; the kernel killed ${count(event.count, 'task')}`)
    }
  })()
  const ended = all.catch((error: Error) => say(error.message))
  return {
    async letGo() {},
    async close() {
      await watch.return()
    },
    async totals() {
      await ended
      return { ooms, killed }
    },
  }
}
