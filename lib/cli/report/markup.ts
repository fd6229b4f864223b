// What the pictures are made of: escaped text, numbers, colours for light and dark. Nothing is loaded from
// elsewhere, and there is no script.
import { shown } from '../format.js'

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text for an element or an attribute: XML allows neither control characters nor half of a surrogate pair. */
export function escape(text: string): string {
  return shown(text)
    .replaceAll(/[\uFFFE\uFFFF]|\p{Cs}/gu, '\uFFFD')
    .replaceAll(/[&<>"']/g, char => ENTITIES[char]!)
}

/** At most `most` characters, the end of a path or the beginning of other text. */
export function cut(text: string, most: number, keep: 'end' | 'begin' = 'begin'): string {
  const characters = [...text]
  if (characters.length <= most) return text
  return keep === 'begin'
    ? `${characters.slice(0, most - 1).join('')}…`
    : `…${characters.slice(characters.length - most + 1).join('')}`
}

/** A coordinate. */
export const at = (value: number): string => String(Math.round(value * 10) / 10)

export interface TextStyle {
  class?: string
  anchor?: 'middle' | 'end'
}

export function textAt(x: number, y: number, text: string, style: TextStyle = {}): string {
  const { class: name, anchor } = style
  return (
    `<text x="${at(x)}" y="${at(y)}"${name === undefined ? '' : ` class="${name}"`}` +
    `${anchor === undefined ? '' : ` text-anchor="${anchor}"`}>${escape(text)}</text>`
  )
}

export const COLOURS = `
:root { color-scheme: light dark; --bg: #ffffff; --ink: #1b1f24; --dim: #59636e; --grid: #e4e8ec; --usage: #1f6feb;
  --limit: #b42318; --hold: #9a6700; --kill: #b42318; --step: #6639ba; --good: #1a7f37; --soft: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --bg: #0d1117; --ink: #e6edf3; --dim: #9198a1; --grid: #2a3038;
  --usage: #58a6ff; --limit: #ff7b72; --hold: #d29922; --kill: #ff7b72; --step: #bc8cff; --good: #3fb950;
  --soft: #161b22 } }
`

/** Of what is drawn. */
export const DRAWING = `
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif }
svg text { fill: var(--ink) } svg .dim { fill: var(--dim) } svg .title { font-size: 15px; font-weight: 600 }
svg .strong { font-weight: 600 } svg .num { font-variant-numeric: tabular-nums }
.paper { fill: var(--bg) } .soft { fill: var(--soft) }
.grid { stroke: var(--grid); stroke-width: 1; fill: none } .axis { stroke: var(--dim); stroke-width: 1; fill: none }
.area { fill: var(--usage); opacity: .16 } .usage { stroke: var(--usage); stroke-width: 2; fill: none; stroke-linejoin: round }
.limit { stroke: var(--limit); stroke-width: 1.5; fill: none } .hold { stroke: var(--hold); stroke-width: 1.5; stroke-dasharray: 5 3; fill: none }
.due { stroke: var(--dim); stroke-width: 1; stroke-dasharray: 2 3 } .mark { stroke: var(--step); stroke-width: 1; opacity: .7 }
.mark.kill { stroke: var(--kill) } .mark.end { stroke: var(--good) } .mark.deadline { stroke: var(--dim) }
.dot { fill: var(--step) } .dot.kill { fill: var(--kill) } .dot.end { fill: var(--good) } .dot.begin { fill: var(--usage) }
.dot.deadline { fill: var(--dim) } svg .number { fill: var(--bg); font-size: 10px; font-weight: 600 }
.bar { fill: var(--usage); opacity: .75 }
.good { fill: var(--good) } .bad { fill: var(--kill) } .none { fill: var(--bg); stroke: var(--dim); stroke-width: 1.5 }
`

const STEPS = [1, 2, 5]

/** Round values from 0 to `most`, about `wanted` of them; `base`: 1024 for sizes, else 10. */
export function ticks(most: number, wanted: number, base: 10 | 1024): number[] {
  if (!(most > 0)) return [0]
  let unit = base === 1024 ? 1024 ** Math.floor(Math.log(most) / Math.log(1024)) : 1
  if (base === 1024 && most / unit < wanted / 2) unit /= 1024
  const rough = most / unit / wanted
  const power = 10 ** Math.floor(Math.log10(rough))
  const binary = base === 1024 && rough >= 1 ? 2 ** Math.ceil(Math.log2(rough)) : undefined
  const step = (binary ?? power * (STEPS.find(one => one * power >= rough) ?? 10)) * unit
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step)
}
