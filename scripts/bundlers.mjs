// What bundlers, file tracers and single executables make of the package: each tool bundles a small
// program that asks probe(), which then runs in a directory of its own. Either it works, or the reason
// names the tool's option that helps. The tools come from npm, into .cache/bundlers.
// `npm run test:bundlers`
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { hostPrebuilds } from './host.mjs'
import { fail, must, root, run } from './run.mjs'

const NAME = 'cgroup-oom'
const TOOLS = {
  '@rollup/plugin-node-resolve': '16.0.3',
  '@vercel/nft': '1.11.5',
  esbuild: '0.28.2',
  postject: '1.0.0-alpha.6',
  rollup: '4.68.8',
  webpack: '5.113.0',
}

const cache = join(root, '.cache/bundlers')
const temporary = mkdtempSync(join(tmpdir(), `${NAME}-bundlers-`))
const app = join(temporary, 'app')

async function tools() {
  const home = join(cache, Object.values(TOOLS).join('-'))
  if (!existsSync(home)) {
    console.error(`fetching ${Object.keys(TOOLS).join(', ')} …`)
    const part = `${home}.part-${process.pid}`
    mkdirSync(part, { recursive: true })
    const names = Object.entries(TOOLS).map(([name, version]) => `${name}@${version}`)
    await must('npm', ['install', '--prefix', part, '--no-audit', '--no-fund', ...names])
    cpSync(part, home, { recursive: true, verbatimSymlinks: true })
    rmSync(part, { recursive: true })
  }
  const require = createRequire(join(home, 'tools.js'))
  return {
    load: name => import(pathToFileURL(require.resolve(name)).href),
    bin: name => join(home, 'node_modules/.bin', name),
  }
}

/** The package as it is installed, with the native files of this machine. */
function install(directory) {
  const to = join(directory, 'node_modules', NAME)
  const addon = join(to, hostPrebuilds())
  const programs = addon.replace(/-[^-]+$/, '')
  for (const place of [addon, programs]) mkdirSync(place, { recursive: true })
  cpSync(join(root, 'dist'), join(to, 'dist'), { recursive: true })
  copyFileSync(join(root, 'package.json'), join(to, 'package.json'))
  copyFileSync(join(root, 'build/Release/cgroup_oom.node'), join(addon, 'cgroup_oom.node'))
  for (const name of ['oom-guardian', 'oom-launcher']) {
    copyFileSync(join(root, 'build/Release', name), join(programs, name))
  }
}

const ASKS = `probe().then(({ addon, guardian, spawn }) =>
  console.log(JSON.stringify([addon, guardian, spawn])))\n`
const PROGRAMS = {
  'app.mjs': `import { probe } from '${NAME}'\n${ASKS}`,
  'app.cjs': `const { probe } = require('${NAME}')\n${ASKS}`,
}

let made = 0

/** What probe() says in a directory of its own, with the package beside the program or without. */
async function deployed(files, command, { beside = false } = {}) {
  const place = join(temporary, `deployed-${++made}`)
  mkdirSync(place)
  for (const [name, from] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true })
    copyFileSync(from, join(place, name))
  }
  if (beside) install(place)
  const [program, ...args] = command(place)
  const { output } = await run(program, args, { cwd: place })
  const line = output.split('\n').find(one => one.startsWith('['))
  return line ? JSON.parse(line) : [{ available: false, reason: output, remedy: '' }]
}

const rows = []
function judge(what, how, capabilities, option) {
  const [{ available, reason, remedy }] = capabilities
  const works = capabilities.every(one => one.available)
  const explained =
    option !== undefined && !available && /bundled/.test(reason) && remedy.includes(option)
  const verdict = option === undefined ? works : explained
  if (!verdict) console.error(what, how, JSON.stringify(capabilities))
  const good = option === undefined ? 'works' : `the error says: ${option}`
  rows.push([what, how, verdict ? good : 'FAILED'])
}

/** A bundle alone, beside the package, and made with the option that the error names. */
async function tryBundler(what, format, option, bundle) {
  const name = format === 'esm' ? 'bundle.mjs' : 'bundle.cjs'
  const entry = join(app, format === 'esm' ? 'app.mjs' : 'app.cjs')
  const whole = join(temporary, `${what}-${format}-whole-${name}`)
  const thin = join(temporary, `${what}-${format}-thin-${name}`)
  await bundle(entry, whole, false)
  await bundle(entry, thin, true)
  const command = place => [process.execPath, join(place, name)]
  const title = `${what}, ${format}`
  judge(title, 'bundled whole, alone', await deployed({ [name]: whole }, command), option)
  const beside = { beside: true }
  judge(title, 'bundled whole, beside', await deployed({ [name]: whole }, command, beside))
  judge(title, `with ${option}`, await deployed({ [name]: thin }, command, beside))
}

async function main() {
  const { load, bin } = await tools()
  mkdirSync(app)
  install(app)
  writeFileSync(join(app, 'package.json'), '{ "private": true }')
  for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(app, name), text)

  const { build } = await load('esbuild')
  const esbuild = format => (entry, outfile, external) =>
    build({
      ...{ entryPoints: [entry], outfile, format, bundle: true, platform: 'node' },
      ...{ external: external ? [NAME] : [], logLevel: 'silent' },
    })
  await tryBundler('esbuild', 'esm', `--external:${NAME}`, esbuild('esm'))
  await tryBundler('esbuild', 'cjs', `--external:${NAME}`, esbuild('cjs'))

  const { rollup } = await load('rollup')
  const { nodeResolve } = await load('@rollup/plugin-node-resolve')
  await tryBundler('rollup', 'esm', 'external in Rollup', async (input, file, external) => {
    const plugins = [nodeResolve({ preferBuiltins: true })]
    const own = external ? [NAME] : []
    const made = await rollup({ input, plugins, external: own, onwarn: () => {} })
    await made.write({ file, format: 'esm', inlineDynamicImports: true })
  })

  const { default: webpack } = await load('webpack')
  await tryBundler('webpack', 'cjs', 'externals in webpack', (entry, file, external) => {
    const output = { path: dirname(file), filename: file.slice(dirname(file).length + 1) }
    const externals = external ? { [NAME]: `commonjs ${NAME}` } : {}
    const options = { entry, output, externals, target: 'node20', mode: 'production' }
    return new Promise((resolve, reject) => {
      webpack(options, (error, stats) => {
        if (error ?? stats.hasErrors()) reject(error ?? new Error(stats.toString('errors-only')))
        else resolve()
      })
    })
  })

  const { nodeFileTrace } = await load('@vercel/nft')
  for (const name of Object.keys(PROGRAMS)) {
    const { fileList } = await nodeFileTrace([join(app, name)], { base: app })
    const files = Object.fromEntries([...fileList].map(file => [file, join(app, file)]))
    const command = place => [process.execPath, join(place, name)]
    judge('@vercel/nft', name, await deployed(files, command))
  }

  const bundle = join(temporary, 'sea.cjs')
  await esbuild('cjs')(join(app, 'app.cjs'), bundle, false)
  const blob = join(temporary, 'sea.blob')
  const config = join(temporary, 'sea.json')
  writeFileSync(config, JSON.stringify({ main: bundle, output: blob }))
  await must(process.execPath, ['--experimental-sea-config', config])
  const single = join(temporary, 'single')
  copyFileSync(process.execPath, single)
  chmodSync(single, 0o755)
  const fuse = ['--sentinel-fuse', 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2']
  await must(process.execPath, [bin('postject'), single, 'NODE_SEA_BLOB', blob, ...fuse])
  const command = place => [join(place, 'single')]
  const what = 'single executable'
  const option = `deploy node_modules/${NAME}`
  judge(what, 'alone', await deployed({ single }, command), option)
  judge(what, 'beside', await deployed({ single }, command, { beside: true }))

  const widths = [0, 1].map(column => Math.max(...rows.map(row => row[column].length)))
  for (const [tool, how, verdict] of rows) {
    console.log(`${tool.padEnd(widths[0])}  ${how.padEnd(widths[1])}  ${verdict}`)
  }
  const failed = rows.filter(([, , verdict]) => verdict === 'FAILED').length
  if (failed > 0) fail(`${failed} of ${rows.length} failed`)
}

try {
  await main()
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
