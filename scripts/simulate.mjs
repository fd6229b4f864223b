// `npm run simulate [-- SCHEDULES [FROM]]`: both simulations of test/native with seeds that have
// not been tried yet (or from FROM on). What CI runs has the same seeds each time: it finds what a change breaks,
// not what was never reached. A failing seed is printed with the command that replays it.
//
// Replays the schedules of test/native/guardian-seeds.txt first; `npm run simulate -- --known`: these alone. Fails
// where one does not end as listed.
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, must, root } from './run.mjs'

const PROGRAMS = ['episode_sim_test', 'guardian_sim_test']
const BUILD = 'build-cmake/optimized'
const KNOWN = 'test/native/guardian-seeds.txt'

/** How one schedule of both processes ends: "passes", or what goes wrong. */
function replay(seed) {
  const { status, stdout, error } = spawnSync(
    join(root, BUILD, 'test/native/guardian_sim_test'),
    ['--seed', seed],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  )
  if (error) fail(error.message)
  if (status === 0) return 'passes'
  const last = stdout.trimEnd().split('\n').at(-1)
  return /^seed \d+, [\d.]+ ms: (.*)$/.exec(last)?.[1] ?? `ended with ${status}: ${last}`
}

/** How many do not end as listed. */
function replayKnown() {
  const lines = readFileSync(join(root, KNOWN), 'utf8').split('\n')
  const known = lines.filter(line => /^\d/.test(line)).map(line => /^(\d+) (.*)$/.exec(line))
  let other = 0
  for (const [, seed, listed] of known) {
    const found = replay(seed)
    if (found !== listed) other++
    console.log(`${seed} ${found}${found === listed ? '' : `, and is listed as: ${listed}`}`)
  }
  console.log(`${known.length} known seeds, ${known.length - other} as in ${KNOWN}`)
  return other
}

const alone = process.argv[2] === '--known'
const [schedules, from] = [process.argv[2] ?? '4000000', process.argv[3] ?? `${randomInt(2 ** 47)}`]
if (!alone && ![schedules, from].every(text => /^[1-9]\d{0,14}$/.test(text))) {
  fail('usage: npm run simulate [-- SCHEDULES [FROM] | --known]')
}
await must('cmake', ['--preset', 'optimized'])
await must('cmake', ['--build', '--preset', 'optimized'])
const other = replayKnown()
if (alone) process.exit(other === 0 ? 0 : 1)
console.log(`${schedules} schedules each, from seed ${from} on`)
const failed = PROGRAMS.filter(program => {
  console.log(`== ${program}`)
  const args = ['--schedules', schedules, '--from', from]
  return (
    spawnSync(join(root, BUILD, 'test/native', program), args, { stdio: 'inherit' }).status !== 0
  )
})
if (other > 0) failed.unshift('known seeds')
if (failed.length > 0) fail(`failed: ${failed.join(', ')}`)
