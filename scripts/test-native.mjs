// `npm run test:native [-- NAME [OPTION…]]`: the core's own tests, all but the simulations (npm run
// simulate); or the one of this name ("episode", or its file), with options of doctest's.
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { fail, must, root } from './run.mjs'

const BUILD = 'build-cmake/debug'

const shown = (command, ...args) =>
  spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0

const [wanted, ...options] = process.argv.slice(2)
const name = wanted && `${basename(wanted).replace(/(_test)?(\.cc)?$/, '')}_test`
await must('cmake', ['--preset', 'debug'])
const target = name ? ['--target', name] : []
if (!shown('cmake', '--build', BUILD, `-j${availableParallelism()}`, ...target)) fail('not built')
const passed = name
  ? shown(join(root, BUILD, 'test/native', name), ...options)
  : shown('ctest', '--preset', 'debug')
if (!passed) process.exit(1)
