// `npm test [-- FILE… OPTION…]`: sets the clone up if needed and runs the tests with tap. For files that
// are named there is no coverage, and dist/ is built only when one of them needs it.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { needsDist } from './needs-dist.mjs'
import { files, root } from './run.mjs'

const args = process.argv.slice(2)
const named = args.filter(arg => existsSync(arg)).map(file => relative(root, file))
const tests = named.flatMap(name =>
  statSync(join(root, name)).isDirectory() ? files(name, ['.ts']) : [name],
)
const run = (...command) =>
  spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' }).status ?? 1

const withoutDist = tests.length > 0 && !tests.some(file => needsDist(file))
const setUp = run('scripts/setup.mjs', ...(withoutDist ? ['--without-dist'] : []))
process.exitCode =
  setUp ||
  run('scripts/typescript-compile.mjs') ||
  run(
    'node_modules/.bin/tap',
    'run',
    ...(named.length > 0 ? ['--disable-coverage', '--no-show-full-coverage'] : []),
    ...args,
  )
