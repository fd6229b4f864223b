// `npm run simulate [-- SCHEDULES [FROM]]`: both simulations of test/native with seeds that nobody has
// tried yet (or from FROM on). What CI runs has the same seeds each time: it finds what a change breaks,
// not what was never reached. A failing seed is printed with the command that replays it.
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { fail, must, root } from './run.mjs'

const PROGRAMS = ['episode_sim_test', 'guardian_sim_test']
const BUILD = 'build-cmake/optimized'

const [schedules, from] = [process.argv[2] ?? '4000000', process.argv[3] ?? `${randomInt(2 ** 47)}`]
if (![schedules, from].every(text => /^[1-9]\d{0,14}$/.test(text))) {
  fail('usage: npm run simulate [-- SCHEDULES [FROM]]')
}
await must('cmake', ['--preset', 'optimized'])
await must('cmake', ['--build', BUILD, '--target', ...PROGRAMS])
console.log(`${schedules} schedules each, from seed ${from} on`)
const failed = PROGRAMS.filter(program => {
  console.log(`== ${program}`)
  const args = ['--schedules', schedules, '--from', from]
  return (
    spawnSync(join(root, BUILD, 'test/native', program), args, { stdio: 'inherit' }).status !== 0
  )
})
if (failed.length > 0) fail(`failed: ${failed.join(', ')}`)
