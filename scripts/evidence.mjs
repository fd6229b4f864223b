// `npm run evidence [-- ROUNDS]`: the long form of the tests of faults, against the real kernel, one
// after the other, and the table of how often each was provoked and how late the worst of them was
// released. Take the figures on an idle machine. Exits with 1 when a test failed or a bound was not kept.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fail, files, root } from './run.mjs'

const BOUND_MS = 250 // of the promise: past the deadline, on an otherwise idle machine

const rounds = Number(process.argv[2] ?? 20)
if (!Number.isInteger(rounds) || rounds < 1) fail('usage: npm run evidence [-- ROUNDS]')

const tests = files('test/kernel', ['.ts']).filter(name =>
  /kernel\/(faults\/.*|guard\/(guardian|signals-container))\.ts$/.test(name),
)
const dir = mkdtempSync(join(tmpdir(), 'cgroup-oom-evidence-'))
const report = join(dir, 'report')
const { status } = spawnSync(
  process.execPath,
  ['node_modules/.bin/tap', 'run', '--disable-coverage', '--jobs=1', '--timeout=0', ...tests],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, OOM_FAULT_ROUNDS: String(rounds), OOM_FAULT_REPORT: report },
  },
)

const lines = existsSync(report) ? readFileSync(report, 'utf8').trim().split('\n') : []
rmSync(dir, { recursive: true })
const rows = lines.map(line => {
  const { fault, count, worstMs } = JSON.parse(line)
  return [fault, count, worstMs.toFixed(1), BOUND_MS, worstMs <= BOUND_MS ? 'kept' : 'LATE']
})
const header = ['fault', 'times', 'worst ms late', 'bound ms', 'result']
const width = Math.max(...[header, ...rows].map(row => row[0].length))
for (const [fault, ...cells] of [header, ...rows]) {
  console.log(fault.padEnd(width) + cells.map(cell => String(cell).padStart(15)).join(''))
}
const injected = rows.reduce((sum, row) => sum + row[1], 0)
const late = rows.filter(row => row[4] === 'LATE').length
console.log(`\n${injected} faults, ${late} late; tests: ${status === 0 ? 'passed' : 'FAILED'}`)
if (status !== 0 || late > 0 || rows.length === 0) process.exitCode = 1
