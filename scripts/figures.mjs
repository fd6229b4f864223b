// The figures in the documents, from bench/ratios.json: `npm run bench -- --keep` writes both.
//
//   node scripts/figures.mjs           writes them
//   node scripts/figures.mjs --check   fails where a document shows others: part of lint
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fail, root } from './run.mjs'

export const FILE = join(root, 'bench/ratios.json')
const DOCUMENTS = ['bench/README.md', 'docs/performance.md']
const BEGIN = '<!-- figures: npm run bench -- --keep -->'
const END = '<!-- end of figures -->'

/** The most that a ratio may be; those without a goal are left out. */
const GOALS = {
  consumer: { median: 3, p99: 5 },
  groups: { 'arming, time': 2, 'arming, CPU time': 2 },
  relief: { '64 MiB': 1.2, '1024 MiB': 1.2, '8192 MiB': 1.2 },
}

/**
 * The gate: which of the ratios that are kept have become more than 1.5 times as large, or are missing. Being
 * quicker than the floor is no promise: a ratio below 1 counts as 1. Those that are no part of the gate are
 * left out.
 */
export const WORSE = 1.5
export const worse = (found, kept) =>
  Object.keys(kept).filter(
    what => !kept[what].ungated && !(found[what]?.ratio <= WORSE * Math.max(kept[what].ratio, 1)),
  )

export const readRatios = () => JSON.parse(readFileSync(FILE, 'utf8'))

function table({ machine, ratios }) {
  const rows = Object.entries(ratios).flatMap(([name, list]) =>
    Object.entries(list).map(([what, { floor, measured, ratio }]) => {
      const goal = GOALS[name]?.[what]
      return `| \`${name}\`, ${what} | ${floor} | ${measured} | ${ratio.toFixed(2)} | ${goal ?? ''} |`
    }),
  )
  return `${machine}. Each floor was measured in the same run.

| measurement | floor | measured | ratio | goal |
| --- | --- | --- | --- | --- |
${rows.join('\n')}`
}

/** The document with the figures of today in the place of those that it has. */
function filled(name) {
  const text = readFileSync(join(root, name), 'utf8')
  const [before, rest] = text.split(BEGIN)
  const after = rest?.split(END)[1]
  if (after === undefined) fail(`${name} has no place for the figures: ${BEGIN} … ${END}`)
  return { text, full: `${before}${BEGIN}\n\n${table(readRatios())}\n\n${END}${after}` }
}

export function writeFigures() {
  for (const name of DOCUMENTS) writeFileSync(join(root, name), filled(name).full)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes('--check')) writeFigures()
  for (const name of DOCUMENTS) {
    const { text, full } = filled(name)
    if (text !== full)
      fail(`${name}: the figures are not those of bench/ratios.json: node scripts/figures.mjs`)
  }
}
