// The record as lines of text.
import type { RecordedEpisode } from '../../../types/record.js'
import { count, shown, size } from '../format.js'
import { durationOf, groupOf, killsOf, timelineOf } from './timeline.js'

/** '3 episodes of 2 groups, TIME to TIME: fallback 2, recovered 1; 2 processes killed'. */
export function summaryOf(episodes: readonly RecordedEpisode[]): string {
  if (episodes.length === 0) return 'no episodes'
  const groups = new Set(episodes.map(({ group }) => group)).size
  const outcomes = new Map<string, number>()
  for (const episode of episodes) {
    const { outcome } = episode
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  const words = [...outcomes].sort((a, b) => b[1] - a[1]).map(([word, n]) => `${shown(word)} ${n}`)
  const killed = episodes.reduce((sum, episode) => sum + killsOf(episode), 0)
  const [first, last] = [episodes[0]!.time, episodes.at(-1)!.time]
  return (
    `${count(episodes.length, 'episode')} of ${count(groups, 'group')}, ` +
    `${first === last ? first : `${first} to ${last}`}: ${words.join(', ')}; ` +
    `${count(killed, 'process', 'processes')} killed`
  )
}

export function headOf(episode: RecordedEpisode): string {
  return `${episode.time} ${groupOf(episode)}: episode ${episode.id}, ${durationOf(episode.end)}`
}

/** The usage at a time, by the last sample before it. */
export function usageAt({ samples, usage }: RecordedEpisode, at: number): number {
  return samples.findLast(sample => sample.at <= at)?.usage ?? usage
}

/** One episode, its lines joined. */
export function textOf(episode: RecordedEpisode): string {
  const lines = timelineOf(episode).map(
    ({ at, text }) =>
      `${(at === 0 ? '0' : `+${durationOf(at)}`).padStart(10)} ${size(usageAt(episode, at)).padStart(10)}  ${text}`,
  )
  return [headOf(episode), ...lines].join('\n')
}
