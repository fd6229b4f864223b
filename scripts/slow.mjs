// `npm run test:slow [-- FILE…]`: the tests against the addon, the guardian and the launcher whose
// threads are delayed at random at their system calls (test/native/delayed): what is right only when
// the library is quick shows. Prints for each file how often it ran and what failed.
//
//   OOM_SLOW_SEED     of the first run, one more for each further (by chance)
//   OOM_SLOW_ROUNDS   how often each file runs (1)
//   OOM_SLOW_PERCENT  of the calls that are delayed (30)
//   OOM_SLOW_MS       the longest delay (30); most are much shorter
//   OOM_SLOW_THREADS  how the names of the threads begin (oom-); - for all threads that call the addon
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { tagsOf } from '../lab/tags.mjs'
import { hostPrebuilds } from './host.mjs'
import { fail, files, must, root } from './run.mjs'

const OUT = 'build-cmake/delayed'

function number(name, otherwise, most) {
  const text = process.env[name] ?? String(otherwise)
  if (!/^\d{1,15}$/.test(text) || Number(text) > most) fail(`${name}: a number up to ${most}`)
  return Number(text)
}

const seed = number('OOM_SLOW_SEED', randomInt(2 ** 31), 2 ** 48)
const rounds = number('OOM_SLOW_ROUNDS', 1, 10_000)
const percent = number('OOM_SLOW_PERCENT', 30, 100)
const longest = number('OOM_SLOW_MS', 30, 10_000)
const threads = process.env.OOM_SLOW_THREADS ?? 'oom-'
if (!/^[!-~]{1,15}$/.test(threads)) fail('OOM_SLOW_THREADS: up to 15 characters')

const named = process.argv.slice(2)
const unknown = named.filter(file => !existsSync(join(root, file)))
if (unknown.length > 0) fail(`no such file: ${unknown.join(', ')}`)
const usual = ['test/unit', 'test/kernel']
  .flatMap(directory => files(directory, ['.ts']))
  .filter(file => tagsOf(file).slowLeftOut === undefined)
const tests = named.length > 0 ? named : usual

const prebuilds = join(root, hostPrebuilds())
if (existsSync(prebuilds)) fail(`${prebuilds} is in the way: remove it`)

await must('npx', [
  ...['cmake-js', 'compile', '--config=RelWithDebInfo', `--out=${OUT}`],
  ...['--CDOOM_DELAYS=ON', `--parallel=${availableParallelism()}`],
])
const built = [
  `${OUT}/RelWithDebInfo/cgroup_oom.node`,
  `${OUT}/test/native/delayed/oom-guardian`,
  `${OUT}/test/native/delayed/oom-launcher`,
]
const logs = join(root, OUT, 'logs')
rmSync(logs, { recursive: true, force: true })
mkdirSync(logs, { recursive: true })

/** What failed in one run: the innermost assertions by name, none when all passed. */
function failures(output, status) {
  const lines = output.split('\n').filter(line => /^ *not ok \d+/.test(line))
  const depth = line => line.search(/\S/)
  // The line of a test comes after those of its assertions: after a deeper line it only sums that up.
  const innermost = lines.filter((line, i) => i === 0 || depth(lines[i - 1]) <= depth(line))
  const names = innermost
    .filter(line => !/ # (TODO|SKIP)\b/i.test(line))
    .map(line => line.replace(/^ *not ok \d+ *(- )?/, '').replace(/ # time=.*$/, ''))
  return names.length === 0 && status !== 0 ? [`ended with ${status}`] : names
}

function runOne(file, itsSeed) {
  writeFileSync(join(root, OUT, 'delays'), `${itsSeed} ${percent} ${longest} ${threads}\n`)
  const began = Date.now()
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [
      ...['node_modules/.bin/tap', 'run', '--disable-coverage', '--jobs=1', '--timeout=600'],
      ...['--reporter=tap', file],
    ],
    { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const failed = failures(stdout, status)
  const seconds = ((Date.now() - began) / 1000).toFixed(0)
  const verdict = failed.length > 0 ? `FAILED: ${failed.join('; ')}` : 'passed'
  console.log(`${file} seed ${itsSeed}, ${seconds} s: ${verdict}`)
  if (failed.length > 0) {
    const log = join(
      logs,
      `${file.replace(/^test\/|\.ts$/g, '').replaceAll('/', '-')}-${itsSeed}.log`,
    )
    writeFileSync(log, stdout + stderr)
    console.log(`  ${log}`)
  }
  return failed
}

console.log(`seed ${seed}; ${percent} % of the calls of ${threads}* by up to ${longest} ms`)
const failed = new Map(tests.map(file => [file, []]))
// The loader takes what is there first.
mkdirSync(prebuilds, { recursive: true })
try {
  for (const file of built) copyFileSync(join(root, file), join(prebuilds, basename(file)))
  for (let round = 0; round < rounds; round++) {
    for (const file of tests) failed.get(file).push(runOne(file, seed + round))
  }
} finally {
  rmSync(prebuilds, { recursive: true, force: true })
}

const width = Math.max(...tests.map(file => file.length))
console.log(`\n${'file'.padEnd(width)}  runs  failed`)
for (const [file, runs] of failed) {
  const bad = runs.filter(names => names.length > 0)
  console.log(
    `${file.padEnd(width)}  ${String(runs.length).padStart(4)}  ${String(bad.length).padStart(6)}`,
  )
  for (const name of new Set(bad.flat())) console.log(`  ${name}`)
}
const sum = [...failed.values()].flat().filter(names => names.length > 0).length
console.log(`\n${tests.length * rounds} runs, ${sum} failed`)
if (sum > 0) process.exitCode = 1
