// The whole files: an SVG, and an HTML page with a picture of each episode.
import type { RecordedEpisode } from '../../../types/record.js'
import { size } from '../format.js'
import { chartOf, spoken, WIDTH } from './chart.js'
import { COLOURS, cut, DRAWING, escape } from './markup.js'
import { classOf, listOf, overviewOf } from './overview.js'
import { summaryOf } from './text.js'
import { durationOf, groupOf, killsOf, sizeOf, timelineOf } from './timeline.js'

// As many are drawn whole, one below the other; of more there is an overview and a list.
const MOST_CHARTS = 4

function svg(body: string, height: number, title: string, description: string, style = ''): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" ` +
    `aria-label="${escape(title)}"><title>${escape(title)}</title><desc>${escape(description)}</desc>` +
    `${style}<rect class="paper" width="${WIDTH}" height="${height}"/>${body}</svg>\n`
  )
}

const titleOf = (episode: RecordedEpisode): string =>
  `Out of memory: ${groupOf(episode)}, ${episode.time}`

export function svgOf(episodes: readonly RecordedEpisode[]): string {
  const style = `<style>${COLOURS}${DRAWING}</style>`
  if (episodes.length === 0) return svg('', 40, 'no episodes', '', style)
  if (episodes.length <= MOST_CHARTS) {
    let height = 0
    const bodies = episodes.map(episode => {
      const chart = chartOf(episode)
      const body = `<g transform="translate(0 ${height})">${chart.body}</g>`
      height += chart.height
      return body
    })
    const title = episodes.length === 1 ? titleOf(episodes[0]!) : summaryOf(episodes)
    return svg(bodies.join(''), height, title, episodes.map(spoken).join('. '), style)
  }
  const overview = overviewOf(episodes, true)
  const list = listOf(episodes, overview.height)
  const description = episodes
    .slice(-100)
    .map(episode => `${titleOf(episode)}: ${episode.outcome} after ${durationOf(episode.end)}`)
    .join('. ')
  return svg(
    overview.body + list.body,
    overview.height + list.height,
    summaryOf(episodes),
    description,
    style,
  )
}

const PAGE = `
body { font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  background: var(--bg); color: var(--ink); margin: 0 auto; padding: 16px; max-width: 1040px }
h1 { font-size: 20px; margin: 8px 0 } p { margin: 4px 0 16px; color: var(--dim) }
figure { margin: 0; overflow-x: auto } svg { max-width: 100%; height: auto }
details { border-top: 1px solid var(--grid) } details[open] { background: var(--bg) }
summary { padding: 5px 4px; cursor: pointer; display: grid; gap: 12px; align-items: baseline;
  grid-template-columns: 13.5em minmax(8em, 1fr) 6em 8em 12em; font-variant-numeric: tabular-nums }
summary:hover, summary:focus-visible { background: var(--soft) }
summary span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
summary .good { color: var(--good) } summary .bad { color: var(--kill) } summary .right { text-align: right }
@media (max-width: 720px) { summary { grid-template-columns: 1fr 1fr } }
table { border-collapse: collapse; margin: 8px 4px 20px; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: 4px 0 } th { text-align: left; color: var(--dim); font-weight: 400 }
th, td { padding: 2px 16px 2px 0; vertical-align: top } td.right, th.right { text-align: right; white-space: nowrap } caption { white-space: nowrap }
`

function table(
  caption: string,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const head = heads.map(
    (one, i) => `<th scope="col"${i === 0 ? ' class="right"' : ''}>${one}</th>`,
  )
  const body = rows.map(
    row =>
      `<tr>${row.map((one, i) => `<td${i === 0 ? ' class="right"' : ''}>${escape(one)}</td>`).join('')}</tr>`,
  )
  return `<table><caption>${caption}</caption><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('')}</tbody></table>`
}

/** The drawing, and the same as tables: for those who do not see it, and to copy from. */
function figure(episode: RecordedEpisode): string {
  const chart = chartOf(episode)
  const { members, moreMembers } = episode
  return (
    `<figure>${svg(chart.body, chart.height, titleOf(episode), 'The tables below have the same.')}</figure>` +
    table(
      'What happened',
      ['after', 'what'],
      timelineOf(episode, moreMembers === undefined).map(({ at, text }) => [durationOf(at), text]),
    ) +
    (moreMembers === undefined
      ? ''
      : table(
          `Who held what when it began${moreMembers > 0 ? `, and ${moreMembers} more` : ''}`,
          ['resident', 'process', 'name'],
          members.map(({ pid, name, resident }) => [size(resident), `${pid}`, name]),
        ))
  )
}

function row(episode: RecordedEpisode, open: boolean): string {
  const kills = killsOf(episode)
  const outcome = escape(cut(episode.outcome, 24))
  return (
    `<details${open ? ' open' : ''}><summary><span>${episode.time.slice(0, 23).replace('T', ' ')}</span>` +
    `<span title="${escape(episode.group)}">${escape(cut(groupOf(episode), 60, 'end'))}</span>` +
    `<span class="right">${durationOf(episode.end)}</span><span class="${classOf(episode)}">${outcome}</span>` +
    `<span>${sizeOf(episode.usage)}${kills === 0 ? '' : `, ${kills} killed`}</span></summary>${figure(episode)}</details>`
  )
}

/** One page, its styles within it: no script, and nothing is loaded. */
export function htmlOf(episodes: readonly RecordedEpisode[]): string {
  const many = episodes.length > 1
  const overview = many ? overviewOf(episodes, false) : undefined
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${escape(summaryOf(episodes))}</title>
<style>${COLOURS}${DRAWING}${PAGE}</style>
</head>
<body>
<main>
<h1>Out of memory</h1>
<p>${escape(summaryOf(episodes))}</p>
${overview ? `<figure>${svg(overview.body, overview.height, 'When the episodes were, and how long each took', summaryOf(episodes))}</figure>` : ''}
${episodes.map(episode => row(episode, !many)).join('\n')}
</main>
</body>
</html>
`
}
