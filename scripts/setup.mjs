// Makes a clone ready to run: dependencies, native build, dist/. Each part is done only when it is
// missing or its inputs have changed, so `npm start` and `npm test` can begin with it every time.
// --without-dist leaves dist/ as it is. Uses nothing but Node.js, because nothing else is there on a
// fresh clone.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareVersions } from './versions.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => join(root, ...parts)
const addon = 'build/Release/cgroup_oom.node'
const readJson = file => JSON.parse(readFileSync(at(file), 'utf8'))

/** A failure that is printed as its message alone, without a stack trace. */
class SetupError extends Error {}

/** Runs a command with its output held back; all of it is shown when the command fails. */
function run(what, command, args, env = {}) {
  console.log(`cgroup-oom: ${what} …`)
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  if (status === 0) return
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  throw new SetupError(`${what} failed${error ? `: ${error.message}` : ', see above'}`)
}

/** Where a command of this name would be run from, or undefined. */
function which(name) {
  const places = name.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter)
  return places
    .map(place => join(place, name))
    .find(file => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

function* filesBelow(path) {
  if (!existsSync(at(path))) return
  for (const entry of readdirSync(at(path), { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) yield join(entry.parentPath ?? entry.path, entry.name)
  }
}

/** A digest of files and directories; a file that is gone counts as a change. */
function digest(paths, ...extra) {
  const hash = createHash('sha256').update(JSON.stringify(extra))
  const files = paths.flatMap(path => {
    const below = /\.\w+$/.test(path) ? [at(path)] : [...filesBelow(path)]
    return below.filter(existsSync)
  })
  for (const file of files.sort()) hash.update(`\0${file}\0`).update(readFileSync(file))
  return hash.digest('hex')
}

/** Runs `make` unless what it made last time, from the same inputs, is still there untouched. */
function whenChanged({ name, output, inputs }, make) {
  const stamp = at('.cache', `${name}.stamp`)
  const state = () => `${inputs} ${statSync(at(output)).mtimeMs}\n`
  const known = existsSync(stamp) && existsSync(at(output))
  if (known && readFileSync(stamp, 'utf8') === state()) return
  make()
  if (!existsSync(at(output))) throw new SetupError(`the build made no ${output}`)
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, state())
}

function checkNode() {
  const wanted = readJson('package.json').engines.node.replace(/^\D+/, '')
  if (compareVersions(wanted, process.versions.node) > 0) {
    throw new SetupError(`Node.js ${wanted} or newer is needed; this is ${process.versions.node}`)
  }
}

/** True when node_modules has what is in the lock file. npm leaves a record of what it installed. */
function installed() {
  const record = 'node_modules/.package-lock.json'
  if (!existsSync(at(record))) return false
  const present = readJson(record).packages
  return Object.entries(readJson('package-lock.json').packages).every(
    ([path, wanted]) =>
      path === '' || wanted.optional || present[path]?.integrity === wanted.integrity,
  )
}

function install() {
  if (installed()) return
  const npm = process.env.npm_execpath // set by npm, and by others to something else
  const [command, ...args] = npm?.endsWith('npm-cli.js') ? [process.execPath, npm] : ['npm']
  const how = existsSync(at('package-lock.json')) ? 'ci' : 'install'
  run('installing dependencies', command, [...args, how, '--no-audit', '--no-fund'])
}

function checkTools() {
  const wanted = [
    [process.env.CC ?? 'cc', 'a C compiler'],
    [process.env.CXX ?? 'g++', 'a C++ compiler'],
    ['make', 'make'],
    [process.env.PYTHON ?? process.env.npm_config_python ?? 'python3', 'Python 3'],
  ]
  const missing = wanted.filter(([name]) => which(name.split(' ')[0]) === undefined)
  if (missing.length === 0) return
  const list = missing.map(([name, what]) => `${name} (${what})`).join(', ')
  throw new SetupError(
    `the native part cannot be built, because these were not found: ${list}\n\n` +
      '  On Debian and Ubuntu, install them with:\n\n' +
      '    apt-get install build-essential python3\n',
  )
}

/** The headers that came with this Node.js, where they did: then node-gyp has nothing to download. */
function headers() {
  const prefix = dirname(dirname(process.execPath))
  const own = existsSync(join(prefix, 'include/node/node_api.h'))
  return own && !process.env.npm_config_nodedir ? { npm_config_nodedir: prefix } : {}
}

function buildNative() {
  if (process.platform !== 'linux') return
  const used = readFileSync(at('binding.gyp'), 'utf8').match(/scripts\/[\w-]+\.mjs/g) ?? []
  const inputs = digest(['binding.gyp', 'native', ...used], process.arch, process.versions.modules)
  whenChanged({ name: 'native', output: addon, inputs }, () => {
    checkTools()
    const gyp = at('node_modules/node-gyp/bin/node-gyp.js')
    const jobs = ['--jobs', 'max']
    run(
      'building the native part',
      process.execPath,
      [gyp, 'configure', 'build', ...jobs],
      headers(),
    )
  })
  // The loader prefers prebuilt binaries; left over from packing, they would hide this build.
  rmSync(at('prebuilds'), { recursive: true, force: true })
}

function buildTypeScript() {
  const { name, version, type, tshy } = readJson('package.json')
  const files = ['tsconfig.json', 'lib', 'types', 'scripts/build-ts.mjs']
  const inputs = digest(files, name, version, type, tshy)
  whenChanged({ name: 'dist', output: 'dist/esm/lib/index.js', inputs }, () => {
    run('building the TypeScript part', process.execPath, [at('scripts/build-ts.mjs')])
  })
}

/** Commit messages are checked by a hook of the repository. Not by a script of npm's: users' npm would name it. */
function setHooks() {
  if (existsSync(at('.git')))
    spawnSync('git', ['config', 'core.hooksPath', 'scripts/hooks'], { cwd: root })
}

try {
  checkNode()
  setHooks()
  // Before the install, which takes longest: a missing compiler is reported at once.
  if (process.platform === 'linux' && !existsSync(at(addon))) checkTools()
  install()
  buildNative()
  if (!process.argv.includes('--without-dist')) buildTypeScript()
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(`\ncgroup-oom: ${error.message}`)
  process.exitCode = 1
}
