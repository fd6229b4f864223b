// One episode as a drawing: usage, limit and line over time, numbered marks for what was done, and below it what
// they mean and who held what. The numbers stand for the words, so that no label lies on another.
import type { RecordedEpisode } from '../../../types/record.js'
import { shown, size } from '../format.js'
import { at, cut, textAt, ticks } from './markup.js'
import { durationOf, groupOf, sizeOf, timelineOf, type Entry } from './timeline.js'

export const WIDTH = 960
const LEFT = 84
const RIGHT = 24
const TOP = 84
const PLOT = 240
const ROW = 20
const LIST = TOP + PLOT + 62
const HALF = 560
const MOST_ENTRIES = 24
const MOST_MEMBERS = 16

type Point = RecordedEpisode['samples'][number]

/** The samples, or where there are none what is known of the first moment. */
function pointsOf({ samples, usage, limit, end }: RecordedEpisode): Point[] {
  const points = samples.length > 0 ? samples : [{ at: 0, usage, limit, line: null }]
  // To the end: the last one stands for what follows it.
  const last = points.at(-1)!
  return last.at < end ? [...points, { ...last, at: end }] : points
}

/** 'M…L…' through what is not null: a value that is unknown, or no limit, leaves a gap. */
function path(points: readonly (readonly [number, number] | undefined)[]): string {
  let pen = 'M'
  return points
    .map(point => {
      const from = pen
      pen = point === undefined ? 'M' : 'L'
      return point === undefined ? '' : `${from}${at(point[0])} ${at(point[1])}`
    })
    .join('')
}

/** A value that holds until the next sample. */
function stairs(
  points: readonly Point[],
  x: (ms: number) => number,
  y: (bytes: number) => number,
  pick: (point: Point) => number | null,
): string {
  return path(
    points.flatMap((point, i) => {
      const value = pick(point)
      if (value === null) return [undefined]
      const until = points[i + 1] ?? point
      return [
        [x(point.at), y(value)],
        [x(until.at), y(value)],
      ] as const
    }),
  )
}

/** What a screen reader is given in place of the drawing. */
export function spoken(episode: RecordedEpisode): string {
  return timelineOf(episode)
    .map(({ at: ms, text }) => `${durationOf(ms)}: ${text}`)
    .join('. ')
}

function marks(entries: readonly Entry[], x: (ms: number) => number): string {
  // In rows, where several stand closer together than they are wide.
  const rowEnds: number[] = []
  return entries
    .map(({ at: ms, kind }, i) => {
      const place = x(ms)
      let row = rowEnds.findIndex(end => place - end >= 19)
      if (row < 0) row = rowEnds.length < 4 ? rowEnds.length : 3
      rowEnds[row] = place
      const y = TOP + 12 + row * 19
      return (
        `<line class="mark ${kind}" x1="${at(place)}" y1="${TOP}" x2="${at(place)}" y2="${TOP + PLOT}"/>` +
        `<circle class="dot ${kind}" cx="${at(place)}" cy="${y}" r="8"/>` +
        textAt(place, y + 3.5, `${i + 1}`, { class: 'number', anchor: 'middle' })
      )
    })
    .join('')
}

/** `held`: the line is drawn as well. */
function legend(x: number, y: number, held: boolean): string {
  const entry = (i: number, name: string, word: string) =>
    `<line class="${name}" x1="${x + i * 86}" y1="${y}" x2="${x + i * 86 + 22}" y2="${y}"/>` +
    textAt(x + i * 86 + 28, y + 4, word, { class: 'dim' })
  return (
    entry(0, 'usage', 'usage') +
    entry(1, 'limit', 'limit') +
    (held ? entry(2, 'hold', 'where it is held') : '')
  )
}

function members(episode: RecordedEpisode, y: number): string {
  const { members: all, moreMembers } = episode
  const left = HALF + 24
  const head = textAt(left, y, 'Who held what when it began', { class: 'strong' })
  if (moreMembers === undefined) return head + textAt(left, y + ROW, 'not known', { class: 'dim' })
  const most = Math.max(1, ...all.map(({ resident }) => resident))
  const rows = all.slice(0, MOST_MEMBERS).map(({ pid, name, resident }, i) => {
    const top = y + ROW * (i + 1)
    const length = (resident / most) * 110
    return (
      textAt(left, top, cut(`${shown(name)} (${pid})`, 26)) +
      `<rect class="bar" x="${WIDTH - RIGHT - 186}" y="${top - 10}" width="${at(length)}" height="11" rx="2"/>` +
      textAt(WIDTH - RIGHT, top, size(resident), { class: 'num', anchor: 'end' })
    )
  })
  const more = moreMembers + all.length - rows.length
  const last =
    all.length === 0 && more === 0 ? 'no process' : more > 0 ? `and ${more} more` : undefined
  if (last !== undefined)
    rows.push(textAt(left, y + ROW * (rows.length + 1), last, { class: 'dim' }))
  return head + rows.join('')
}

export interface Drawing {
  body: string
  height: number
}

export function chartOf(episode: RecordedEpisode): Drawing {
  const points = pointsOf(episode)
  const end = Math.max(episode.end, 0.001)
  const most =
    Math.max(
      1,
      episode.usage,
      ...points.flatMap(({ usage, limit, line }) => [usage, limit ?? 0, line ?? 0]),
    ) * 1.06
  const x = (ms: number) => LEFT + (Math.min(ms, end) / end) * (WIDTH - LEFT - RIGHT)
  const y = (bytes: number) => TOP + PLOT - (bytes / most) * PLOT
  const all = timelineOf(episode, false)
  const entries = all.length > MOST_ENTRIES ? [...all.slice(0, MOST_ENTRIES - 1), all.at(-1)!] : all
  const bottom = TOP + PLOT

  const grid = ticks(most, 4, 1024)
    .map(
      bytes =>
        `<line class="grid" x1="${LEFT}" y1="${at(y(bytes))}" x2="${WIDTH - RIGHT}" y2="${at(y(bytes))}"/>` +
        textAt(LEFT - 8, y(bytes) + 4, bytes === 0 ? '0' : size(bytes), {
          class: 'dim num',
          anchor: 'end',
        }),
    )
    .join('')
  const times = ticks(end, 8, 10)
    .map(
      ms =>
        `<line class="axis" x1="${at(x(ms))}" y1="${bottom}" x2="${at(x(ms))}" y2="${bottom + 5}"/>` +
        textAt(x(ms), bottom + 19, ms === 0 ? '0' : durationOf(ms), {
          class: 'dim num',
          anchor: 'middle',
        }),
    )
    .join('')
  const curve = path(points.map(point => [x(point.at), y(point.usage)]))
  const area = `${curve}L${at(x(points.at(-1)!.at))} ${bottom}L${at(x(points[0]!.at))} ${bottom}Z`
  const held = stairs(points, x, y, ({ line, limit }) => (line === limit ? null : line))
  const list = entries.map(({ at: ms, kind, text }, i) => {
    const top = LIST + ROW * (i + 1)
    return (
      `<circle class="dot ${kind}" cx="32" cy="${top - 4}" r="8"/>` +
      textAt(32, top - 0.5, `${i + 1}`, { class: 'number', anchor: 'middle' }) +
      textAt(104, top, durationOf(ms), { class: 'num', anchor: 'end' }) +
      textAt(116, top, cut(text, 66))
    )
  })
  const left = all.length - entries.length
  if (left > 0) {
    list.push(textAt(116, LIST + ROW * (entries.length + 1), `and ${left} more`, { class: 'dim' }))
  }
  const rows = Math.max(list.length, Math.min(episode.members.length, MOST_MEMBERS) + 1)
  const body =
    textAt(24, 30, `Out of memory: ${cut(groupOf(episode), 70, 'end')}`, { class: 'title' }) +
    textAt(
      24,
      52,
      `${episode.time}, episode ${episode.id}: ${sizeOf(episode.usage)} of ${sizeOf(episode.limit)}, ` +
        `${shown(episode.outcome)} after ${durationOf(episode.end)}` +
        (episode.host === '' ? '' : `, on ${cut(shown(episode.host), 24)}`),
      { class: 'dim' },
    ) +
    legend(LEFT, 70, held !== '') +
    grid +
    times +
    `<line class="axis" x1="${LEFT}" y1="${bottom}" x2="${WIDTH - RIGHT}" y2="${bottom}"/>` +
    `<path class="area" d="${area}"/><path class="usage" d="${curve}"/>` +
    `<path class="limit" d="${stairs(points, x, y, ({ limit }) => limit)}"/>` +
    (held === '' ? '' : `<path class="hold" d="${held}"/>`) +
    marks(entries, x) +
    textAt(24, LIST, 'What happened', { class: 'strong' }) +
    list.join('') +
    members(episode, LIST)
  return { body, height: LIST + ROW * (rows + 1) }
}

/** Usage against the limit, without words: for a row of a list. */
export function sparkline(episode: RecordedEpisode, left: number, top: number): string {
  const [width, height] = [120, 18]
  const points = pointsOf(episode)
  const end = Math.max(episode.end, 0.001)
  const most = Math.max(1, ...points.flatMap(({ usage, limit }) => [usage, limit ?? 0]))
  const x = (ms: number) => left + (Math.min(ms, end) / end) * width
  const y = (bytes: number) => top + height - (bytes / most) * height
  const curve = path(points.map(point => [x(point.at), y(point.usage)]))
  return (
    `<path class="limit" d="${stairs(points, x, y, ({ limit }) => limit)}"/>` +
    `<path class="usage" d="${curve}"/>`
  )
}
