// `npm run bench [-- [--short] [--check|--keep] NAME…]`: compiles bench/ to build/bench/ and runs all
// measurements or those named, each in a process of its own, one after the other. They use the package
// as its users do: dist/.
//
// Those that take long (LONG) run only when they are named. `race` is scripts/race.mjs; names after it choose
// contenders.
//
//   --short   fewer repetitions: some seconds each
//   --check   the gate: fails where a ratio to its floor is over 1.5 times the one in bench/ratios.json in
//             each of up to three runs; times are never compared. Runs what the file has, in the short form
//   --keep    writes the ratios into bench/ratios.json, and the tables of the documents from it
//
// Without --check it exits with 0 whatever was measured; with 1 only when one could not be carried out.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { FILE, gated, readRatios, WORSE, worse, writeFigures } from './figures.mjs'
import { fail, must, root } from './run.mjs'

const RUNS = 3
const LONG = ['long', 'long-simulated', 'race']

const options = ['--short', '--check', '--keep']
const args = process.argv.slice(2)
const given = option => args.includes(option)
const names = args.filter(arg => !options.includes(arg))
if (names[0] === 'race') {
  const how = given('--keep') ? ['--keep'] : []
  const short = given('--short') ? { OOM_RACE_ROUNDS: '1' } : {}
  await must(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'bench', '--noCheck'])
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'scripts/race.mjs'), ...names.slice(1), ...how],
    { cwd: root, stdio: 'inherit', env: { ...process.env, ...short } },
  )
  process.exit(status ?? 1)
}
const all = readdirSync(join(root, 'bench'))
  .filter(name => name.endsWith('.ts'))
  .map(name => name.slice(0, -'.ts'.length))
  .sort()
const unknown = names.find(name => !all.includes(name))
if (unknown) {
  fail(`no such measurement: ${unknown} (there are: ${all.join(', ')}; ${options.join(', ')})`)
}

await must(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'bench', '--noCheck'])
mkdirSync(join(root, 'build/bench'), { recursive: true })

/** Runs one: its ratios, or undefined when it could not be carried out. */
function run(name, short) {
  const file = join(root, 'build/bench', `${name}.ratios.json`)
  rmSync(file, { force: true })
  const program = join(root, 'build/bench/bench', `${name}.js`)
  const { status } = spawnSync(process.execPath, ['--expose-gc', program], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, OOM_BENCH_RATIOS: file, ...(short ? { OOM_BENCH_SHORT: '1' } : {}) },
  })
  if (status !== 0) return undefined
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
}

if (given('--check')) {
  const { ratios } = readRatios()
  const failed = []
  for (const name of names.length > 0 ? names : Object.keys(ratios)) {
    let kept = gated(ratios[name] ?? {})
    for (let i = 0; i < RUNS && Object.keys(kept).length > 0; i++) {
      const found = run(name, true)
      if (found === undefined) fail(`${name} could not be carried out`)
      kept = Object.fromEntries(worse(found, kept).map(what => [what, kept[what]]))
      for (const [what, { ratio }] of Object.entries(kept)) {
        console.log(`  ${name}, ${what}: ${found[what]?.ratio}, not within ${WORSE} × ${ratio}`)
      }
    }
    failed.push(...Object.keys(kept).map(what => `${name}, ${what}`))
  }
  if (failed.length > 0) fail(`worse than bench/ratios.json in ${RUNS} runs: ${failed.join('; ')}`)
  console.log(`\nbench: no ratio is over ${WORSE} times the one in bench/ratios.json`)
} else {
  const kept = readRatios()
  for (const name of names.length > 0 ? names : all.filter(one => !LONG.includes(one))) {
    const found = run(name, given('--short'))
    if (found === undefined) process.exitCode = 1
    else if (Object.keys(found).length > 0) kept.ratios[name] = found
  }
  if (given('--keep') && process.exitCode !== 1) {
    kept.machine = `Linux ${release().replace(/-.*/, '')}, ${process.arch}, ${cpus().length} processors, Node.js ${process.versions.node}`
    writeFileSync(FILE, `${JSON.stringify(kept, null, 2)}\n`)
    writeFigures()
  }
}
