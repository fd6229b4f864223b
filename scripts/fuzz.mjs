// Runs each fuzzer (test/native/fuzz) for some seconds: node scripts/fuzz.mjs [seconds] [name…]
// Seeds: test/native/fuzz/corpus/<name>/, where there is one. What is found stays in
// build-cmake/fuzz/: corpus/<name>/ for the next run, crashes/ for what failed.
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fail, inParallel, root, run } from './run.mjs'

const [seconds = '10', ...names] = process.argv.slice(2)
if (!/^[1-9]\d*$/.test(seconds)) fail('usage: node scripts/fuzz.mjs [seconds] [name…]')
const build = join(root, 'build-cmake/fuzz')
const programs = existsSync(join(build, 'fuzzers')) ? readdirSync(join(build, 'fuzzers')) : []
const chosen = names.length > 0 ? names : programs
if (chosen.length === 0) fail('no fuzzers were built')
mkdirSync(join(build, 'crashes'), { recursive: true })

let failed = 0
await inParallel(chosen, async name => {
  const corpus = join(build, 'corpus', name)
  const seeds = join(root, 'test/native/fuzz/corpus', name)
  mkdirSync(corpus, { recursive: true })
  const { ok, output } = await run(join(build, 'fuzzers', name), [
    `-max_total_time=${seconds}`,
    '-max_len=4096',
    '-timeout=10',
    '-rss_limit_mb=1024',
    '-print_final_stats=1',
    `-artifact_prefix=${build}/crashes/${name}-`,
    corpus,
    ...(existsSync(seeds) ? [seeds] : []),
  ])
  const runs = /number_of_executed_units:\s*(\d+)/.exec(output)?.[1]
  if (ok && runs !== undefined) return console.log(`${name}: ${runs} runs, nothing found`)
  failed++
  console.log(`${name}: FAILED\n${output}`)
})
if (failed) fail(`${failed} of ${chosen.length} fuzzers failed`)
