// The figures in the documents, from bench/ratios.json: `npm run bench -- --keep` writes both.
//
//   node scripts/figures.mjs           writes them
//   node scripts/figures.mjs --check   fails where a document shows others: part of lint
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fail, root } from './run.mjs'

export const FILE = join(root, 'bench/ratios.json')
export const RACE = join(root, 'bench/race.json')
const place = (begin, end, table) => ({ begin, end: `<!-- end of ${end} -->`, table })
const PLACES = {
  'bench/README.md': () => [FIGURES],
  'docs/performance.md': () => [FIGURES, RACES],
  'README.md': () => [SUMMARY],
}

/** The most that a ratio may be; those without a goal are left out. */
const GOALS = {
  consumer: { median: 3, p99: 5 },
  groups: { 'arming, time': 2, 'arming, CPU time': 2 },
  deadline: {
    "'kernel', worst": 0.5,
    "'kill-largest', worst": 0.5,
    "'kernel', worst, quiet console": 0.5,
    "'kill-largest', worst, quiet console": 0.5,
  },
  relief: { '64 MiB': 1.2, '1024 MiB': 1.2, '8192 MiB': 1.2 },
}

/**
 * The gate: which of the ratios that are kept have become more than 1.5 times as large, or are missing. Being
 * quicker than the floor is no promise: a ratio below 1 counts as 1. Those that are no part of the gate are
 * left out.
 */
export const WORSE = 1.5
export const gated = kept =>
  Object.fromEntries(Object.entries(kept).filter(([, { ungated }]) => !ungated))
export const worse = (found, kept) =>
  Object.entries(gated(kept))
    .filter(([what, { ratio }]) => !(found[what]?.ratio <= WORSE * Math.max(ratio, 1)))
    .map(([what]) => what)

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

const median = values => values.toSorted((a, b) => a - b)[Math.ceil(values.length / 2) - 1]

const SCENARIOS = {
  group: 'A job of one process fills its group, which has a limit of 256 MiB',
  machine: 'A job of one process fills the machine: 1.5 GiB, no swap',
  'machine, 8 processes': 'A job of eight processes fills the machine, no swap',
  'machine, swap': 'A job of one process fills the machine and 256 MiB of swap',
}

/** How many of the rounds it was so: nothing, all, or "2 of 3". */
const share = (n, of) => (n === 0 ? 'no' : n === of ? 'yes' : `${n} of ${of}`)

function scenario(name, results) {
  const rows = results.flatMap(result => {
    const rounds = (result.outcomes ?? []).filter(outcome => outcome.scenario === name)
    if (rounds.length === 0) return []
    const of = rounds.length
    const count = test => rounds.filter(test).length
    const actors = [...new Set(rounds.map(({ actor }) => actor))]
    const acts = actors.map(actor => {
      const n = count(outcome => outcome.actor === actor)
      return n === of ? actor : `${actor} ${n} of ${of}`
    })
    const times = rounds.map(({ ms }) => ms ?? Infinity)
    const ms = median(times)
    return [
      [
        title(result),
        acts.join(', '),
        `${median(rounds.map(({ peakPercent }) => peakPercent)).toFixed(0)} %`,
        ms === Infinity ? 'not within 180 s' : `${ms.toFixed(0)} ms`,
        `${median(rounds.map(o => o.jobKilled))} of ${rounds[0].jobProcesses}`,
        share(
          count(o => o.serviceKilled),
          of,
        ),
      ],
    ]
  })
  if (rows.length === 0) return []
  return [
    `${SCENARIOS[name]}:`,
    '',
    ...lines(
      [
        '',
        'who acts',
        'used at most',
        'until half is free',
        'of the job killed',
        'the service killed',
      ],
      rows,
    ),
    '',
  ]
}

const title = ({ contender, version, cgroup, where }) =>
  `${contender}${version ? ` ${version}` : ''}, ${cgroup}${where === 'host' ? '' : ', lab'}`

const lines = (head, rows) => [
  `| ${head.join(' | ')} |`,
  `|${' --- |'.repeat(head.length)}`,
  ...rows.map(row => `| ${row.join(' | ')} |`),
]

function race() {
  const { machine, lab, results } = JSON.parse(readFileSync(RACE, 'utf8'))
  const idle = results.flatMap(result =>
    result.idle
      ? [
          [
            title(result),
            `${result.idle.cpuMs.toFixed(2)} ms${result.idle.busy ? ' at most' : ''}`,
            result.idle.woken.toFixed(1),
            `${(result.idle.kib / 1024).toFixed(1)} MiB`,
          ],
        ]
      : [],
  )
  return [
    `On this machine (v1): ${machine}. In the lab (v2): ${lab}.`,
    '',
    ...Object.keys(SCENARIOS).flatMap(name => scenario(name, results)),
    'While nothing happens, in a second:',
    '',
    ...lines(['', 'processor time', 'wake-ups', 'memory'], idle),
  ].join('\n')
}

const FIGURES = place('<!-- figures: npm run bench -- --keep -->', 'figures', () =>
  table(readRatios()),
)
const RACES = place('<!-- race: npm run bench -- race --keep -->', 'race', race)

/** What the README shows of them. */
const SHORT = [
  [
    'consumer',
    'median',
    'an event, from the native thread to the body of `for await`',
    '`uv_async_send` to its callback',
  ],
  [
    'lateness',
    'median',
    'the kernel has its killer back, after the deadline',
    'a C program that waits for a timerfd',
  ],
  ['guards', 'arming', 'arming a guard', 'the bare system calls'],
  ['relief', '1024 MiB', 'killing a job of 1 GiB until its memory is free', "the kernel's killer"],
]

function summary() {
  const { machine, ratios } = readRatios()
  const rows = SHORT.map(([name, what, text, floor]) => {
    const { floor: least, measured } = ratios[name][what]
    return [text, measured, `${least}: ${floor}`]
  })
  return [
    ...lines([`median, ${machine}`, 'this library', 'the floor, in the same run'], rows),
  ].join('\n')
}

const SUMMARY = place('<!-- summary: npm run bench -- --keep -->', 'summary', summary)

/** The document with the figures of today in the place of those that it has. */
function filled(name) {
  const text = readFileSync(join(root, name), 'utf8')
  let full = text
  for (const { begin, end, table: make } of PLACES[name]()) {
    const [before, rest] = full.split(begin)
    const after = rest?.split(end)[1]
    if (after === undefined) fail(`${name} has no place for the figures: ${begin} … ${end}`)
    full = `${before}${begin}\n\n${make()}\n\n${end}${after}`
  }
  return { text, full }
}

export function writeFigures() {
  for (const name of Object.keys(PLACES)) writeFileSync(join(root, name), filled(name).full)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes('--check')) writeFigures()
  for (const name of Object.keys(PLACES)) {
    const { text, full } = filled(name)
    if (text !== full)
      fail(`${name}: the figures are not those that are kept in bench/: node scripts/figures.mjs`)
  }
}
