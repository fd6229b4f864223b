// The table of docs/guarantees.md: runs bench/hold.ts under several kernels in the lab, one after the other, and
// prints it: node scripts/bench-hold.mjs [KERNEL…]. What a kernel does not have is printed, not left out.
import { fail } from './run.mjs'
import { Lab } from '../lab/machine.mjs'

const KERNELS = ['5.10', '6.1', '6.12', 'newest']
const SECONDS = 1500
// OOM_HOLD_PART (one of them only), OOM_HOLD_ROUNDS, OOM_HOLD_PAIRS, OOM_HOLD_PATIENCE_MS: bench/hold.ts
const settings = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name.startsWith('OOM_HOLD_')),
)

const number = (value, digits = 0) => (value === undefined ? '–' : value.toFixed(digits))
const pair = ([middle, worst] = [], digits = 0) =>
  `${number(middle, digits)} (${number(worst, digits)})`
const within = ([middle, low, high] = []) =>
  `${number(middle, 1)} (${number(low, 1)} to ${number(high, 1)})`
const held = ms => (ms === undefined || ms === null ? 'held' : `${number(ms / 1000, 1)} s`)

/** One kernel: the cells of its column, or a text in their place. */
async function column(lab, wanted) {
  let output = ''
  try {
    const kernel = await lab.kernel(wanted)
    let figures = { name: kernel.release ?? wanted }
    // What page cache loses is some percent: less than what an emulated machine's time jitters by.
    for (const [part, counted] of [
      ['holding', false],
      ['cache', true],
    ]) {
      if ((settings.OOM_HOLD_PART ?? part) !== part) continue
      output = ''
      await lab.run({
        kernel,
        version: 'v2',
        argv: ['/usr/bin/node', 'bench/hold.js'],
        env: { ...settings, OOM_HOLD_PART: part },
        seconds: SECONDS,
        counted,
        output: data => (output += data),
      })
      figures = { ...figures, ...JSON.parse(/^ *figures: (.*)$/m.exec(output)[1]) }
    }
    return figures
  } catch (error) {
    console.error(`${wanted}: ${error.message}\n${output}`)
    return { name: wanted, failed: true }
  }
}

const rows = [
  ['from the line until the last member is frozen, ms', c => pair(c.stopMs)],
  ['what gets through, KiB', c => pair(c.throughKiB)],
  ['the fallback is late by, ms', c => pair(c.lateMs, 1)],
  ['reading files loses, % (95 % confidence)', c => within(c.readLossPercent)],
  [
    'reading and writing, MB/s, held / not',
    c => c.readWriteMBs?.map(v => number(v, 1)).join(' / '),
  ],
  ...['1 %', '3 %', '6 %', '12 %', '25 %'].map(band => [
    `throttling alone, band ${band}`,
    c => (c.throttledMs ? held(c.throttledMs[band]) : '–'),
  ]),
]

try {
  const lab = new Lab()
  const wanted = process.argv.length > 2 ? process.argv.slice(2) : KERNELS
  const columns = []
  for (const kernel of wanted) columns.push(await column(lab, kernel))
  const line = cells => `| ${cells.join(' | ')} |`
  console.log(line(['median (worst)', ...columns.map(c => c.name)]))
  console.log(line(['---', ...columns.map(() => '---')]))
  for (const [title, cell] of rows) {
    console.log(line([title, ...columns.map(c => (c.failed ? 'failed' : cell(c)))]))
  }
} catch (error) {
  fail(`bench-hold: ${error.message}`)
}
