// What `cgroup-oom run` prints about OOMs: a line for each episode of a guard, or for each of the
// kernel's kills where there is no guard.
import { setTimeout as sleep } from 'node:timers/promises'
import type { OomEpisode, OomGuard } from '../../types/group.js'
import type { EpisodeEnd } from '../../types/guard.js'
import { watchTree } from '../watch/watch.js'
import { count, duration, size } from './format.js'

export interface Reporter {
  /** Disposes the guard: the group has no members any more. */
  dispose(): Promise<void>
  /** When everything has been reported: the group is gone. */
  totals(): Promise<{ ooms: number; killed: number }>
  /** Reports no more, whatever there is. */
  close(): Promise<void>
}

// How long an episode of an empty group may take to be over.
const SETTLE_MS = 1000

type Print = (line: string) => void

export const EXPLAINED: Record<EpisodeEnd['outcome'], string> = {
  recovered: 'memory was freed',
  'limit-raised': 'the limit was raised',
  killed: 'a process was killed',
  signalled: 'a process that had been asked to end ended',
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

/** While it lasts: a higher limit, or memory that is freed, lets the command go on. */
function waitOf({ group, usage, limit }: OomEpisode, delayMs: number): string {
  const wait = `it waits up to ${duration(delayMs * 1e6)}`
  return `out of memory: ${group} at ${size(usage)} of ${size(limit)}; ${wait}`
}

function describe({ group, usage, limit, startedAt }: OomEpisode, end: EpisodeEnd): string {
  const killed = killsOf(end)
  return (
    `out of memory: ${group} at ${size(usage)} of ${size(limit)}; after ` +
    `${duration(Number(end.at - startedAt))}: ${EXPLAINED[end.outcome]}${stepsOf(end)}` +
    (killed === 0 ? '' : `, ${count(killed, 'process', 'processes')} killed`)
  )
}

/** Reports the episodes of a guard, and disposes it at the end. */
export function reportEpisodes(guard: OomGuard, print: Print): Reporter {
  let killed = 0
  const reports: Promise<void>[] = []
  const report = async (episode: OomEpisode) => {
    print(waitOf(episode, guard.delayMs))
    const end = await episode.ended
    killed += killsOf(end)
    print(describe(episode, end))
  }
  const all = (async () => {
    for await (const episode of guard) reports.push(report(episode))
  })()
  // If the guard is lost, its killers are enabled and the command goes on.
  const ended = all.catch((error: Error) => print(error.message))
  return {
    async dispose() {
      // Wait for an episode that is about to end: it then has the outcome that ended it.
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

/** Reports the kernel's kills in an unguarded group and those below it, until the group is removed. */
export async function reportKills(path: string, print: Print): Promise<Reporter> {
  let ooms = 0
  let killed = 0
  const watch = watchTree(path)
  await watch.ready
  const all = (async () => {
    for await (const event of watch) {
      if (event.type === 'oom' && event.origin !== 'ancestor') ooms += event.count
      if (event.type !== 'kill') continue
      killed += event.count
      print(`out of memory: ${event.group}; the kernel killed ${count(event.count, 'task')}`)
    }
  })()
  const ended = all.catch((error: Error) => print(error.message))
  return {
    async dispose() {},
    async close() {
      await watch.return()
    },
    async totals() {
      await ended
      return { ooms, killed }
    },
  }
}
