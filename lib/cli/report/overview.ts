// Many episodes: when they were and how long they took, with a shape and a colour for each kind of end, and a list.
import type { RecordedEpisode } from '../../../types/record.js'
import { shown, size } from '../format.js'
import { sparkline, WIDTH, type Drawing } from './chart.js'
import { at, cut, escape, textAt } from './markup.js'
import { summaryOf } from './text.js'
import { durationOf, groupOf, holders, killsOf, sizeOf } from './timeline.js'

const LEFT = 84
const RIGHT = 24
const TOP = 78
const PLOT = 200
const BOTTOM = TOP + PLOT
const ROW = 26
// What the title takes.
const UNTITLED = 46

/** In time: nothing had to be killed at the deadline. */
const GOOD = new Set(['recovered', 'limit-raised', 'killed', 'plan'])
const BAD = new Set(['fallback', 'guardian'])

export const classOf = ({ outcome }: RecordedEpisode): 'good' | 'bad' | 'none' =>
  GOOD.has(outcome) ? 'good' : BAD.has(outcome) ? 'bad' : 'none'

function shape(kind: 'good' | 'bad' | 'none', x: number, y: number): string {
  if (kind === 'bad') {
    return `<path class="bad" d="M${at(x - 4.5)} ${at(y + 4)}h9l-4.5 -8.5z"/>`
  }
  return `<circle class="${kind}" cx="${at(x)}" cy="${at(y)}" r="4"/>`
}

const DAY = 86_400_000

/** Of a time of day, as exact as the span needs. */
function label(ms: number, span: number): string {
  const iso = new Date(ms).toISOString()
  if (span > 3 * DAY) return iso.slice(0, 10)
  if (span > DAY / 2) return iso.slice(5, 16).replace('T', ' ')
  return span > 300_000 ? iso.slice(11, 16) : iso.slice(11, 19)
}

/** When the episodes were, and how long each took (a logarithmic scale). `titled`: nothing else says what it is. */
export function overviewOf(episodes: readonly RecordedEpisode[], titled: boolean): Drawing {
  const times = episodes.map(({ time }) => Date.parse(time))
  const [first, last] = [times[0]!, times.at(-1)!]
  const span = Math.max(last - first, 1)
  const lengths = episodes.map(({ end }) => Math.max(end, 0.1))
  const low = Math.floor(Math.log10(lengths.reduce((a, b) => Math.min(a, b))))
  const high = Math.max(low + 1, Math.ceil(Math.log10(lengths.reduce((a, b) => Math.max(a, b)))))
  const x = (ms: number) => LEFT + 10 + ((ms - first) / span) * (WIDTH - LEFT - RIGHT - 20)
  const y = (ms: number) => BOTTOM - 8 - ((Math.log10(ms) - low) / (high - low)) * (PLOT - 20)
  const scale = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i))
    .map(
      ms =>
        `<line class="grid" x1="${LEFT}" y1="${at(y(ms))}" x2="${WIDTH - RIGHT}" y2="${at(y(ms))}"/>` +
        textAt(LEFT - 8, y(ms) + 4, durationOf(ms), { class: 'dim num', anchor: 'end' }),
    )
    .join('')
  const clock = [0, 0.25, 0.5, 0.75, 1]
    .map(share => {
      const ms = first + span * share
      const anchor = share === 0 ? undefined : share === 1 ? 'end' : 'middle'
      return textAt(x(ms), BOTTOM + 18, label(ms, span), {
        class: 'dim num',
        ...(anchor === undefined ? {} : { anchor }),
      })
    })
    .join('')
  const key =
    shape('good', LEFT + 4, 62) +
    textAt(LEFT + 14, 66, 'ended in time', { class: 'dim' }) +
    shape('bad', LEFT + 114, 62) +
    textAt(LEFT + 124, 66, 'fallback or guardian', { class: 'dim' }) +
    shape('none', LEFT + 264, 62) +
    textAt(LEFT + 274, 66, 'removed or disposed', { class: 'dim' })
  const body =
    (titled
      ? textAt(24, 28, 'Out of memory', { class: 'title' }) +
        textAt(24, 47, cut(summaryOf(episodes), 140), { class: 'dim' })
      : '') +
    key +
    scale +
    `<line class="axis" x1="${LEFT}" y1="${BOTTOM}" x2="${WIDTH - RIGHT}" y2="${BOTTOM}"/>` +
    clock +
    episodes.map((episode, i) => shape(classOf(episode), x(times[i]!), y(lengths[i]!))).join('') +
    textAt(24, BOTTOM + 40, 'Time (UTC) from left to right; the higher, the longer it took.', {
      class: 'dim',
    })
  if (titled) return { body, height: BOTTOM + 56 }
  return {
    body: `<g transform="translate(0 ${-UNTITLED})">${body}</g>`,
    height: BOTTOM + 56 - UNTITLED,
  }
}

/** One row for each, with a curve of usage below the limit. */
export function listOf(episodes: readonly RecordedEpisode[], top: number): Drawing {
  const head =
    textAt(40, top + 14, 'time (UTC)', { class: 'dim' }) +
    textAt(222, top + 14, 'group', { class: 'dim' }) +
    textAt(500, top + 14, 'usage', { class: 'dim' }) +
    textAt(690, top + 14, 'took', { class: 'dim', anchor: 'end' }) +
    textAt(704, top + 14, 'ended by', { class: 'dim' }) +
    textAt(808, top + 14, 'largest', { class: 'dim' })
  const rows = episodes.map((episode, i) => {
    const y = top + ROW * (i + 1) + 12
    const kills = killsOf(episode)
    const [first] = episode.members
    const largest = first === undefined ? '' : `${size(first.resident)} ${shown(first.name)}`
    return (
      (i % 2 === 0
        ? `<rect class="soft" x="16" y="${y - 17}" width="${WIDTH - 32}" height="${ROW}"/>`
        : '') +
      `<g><title>${escape(
        `${groupOf(episode)}, episode ${episode.id}: ${sizeOf(episode.usage)} of ${sizeOf(episode.limit)}, ` +
          `${kills} killed; ${holders(episode) ?? 'members not known'}`,
      )}</title>` +
      shape(classOf(episode), 28, y - 4) +
      textAt(40, y, episode.time.slice(0, 23).replace('T', ' '), { class: 'num' }) +
      textAt(222, y, cut(groupOf(episode), 38, 'end')) +
      sparkline(episode, 500, y - 14) +
      textAt(690, y, durationOf(episode.end), { class: 'num', anchor: 'end' }) +
      textAt(704, y, cut(episode.outcome, 13)) +
      textAt(808, y, cut(largest, 19)) +
      '</g>'
    )
  })
  return { body: head + rows.join(''), height: ROW * (rows.length + 1) + 12 }
}
