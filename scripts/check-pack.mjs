// The package as its users get it: packs it, checks that the tarball has the binaries of all targets, what
// they need and the notices of what is compiled into them, and nothing by mistake; has publint and
// attw judge it, then installs it in a directory of its own and loads it as ESM and as CommonJS.
//
//   node scripts/check-pack.mjs [TARBALL]     TARBALL: one that has been packed already
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fail, must, root, run } from './run.mjs'
import { BINARIES, needsOf } from './targets/needs.mjs'
import { toolchain, unpacked } from './targets/toolchain.mjs'

const {
  name,
  version,
  exports,
  man,
  scripts,
  bin = {},
} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const NOTICES = 'THIRD-PARTY-NOTICES.md'
const temporary = mkdtempSync(join(tmpdir(), `${name}-pack-`))

async function pack() {
  await must('npm', ['pack', '--pack-destination', temporary])
  return join(temporary, readdirSync(temporary)[0])
}

/** Every path that package.json points to. */
function* targets(value) {
  if (typeof value === 'string') yield value.replace(/^\.\//, '')
  else for (const inner of Object.values(value ?? {})) yield* targets(inner)
}

function checkContents(files) {
  const wanted = ['LICENSE', 'README.md', 'CHANGELOG.md', 'SECURITY.md', NOTICES]
  const binaries = BINARIES.map(({ directory, name }) => `prebuilds/${directory}/${name}`)
  wanted.push(...binaries)
  wanted.push(...targets(exports), ...targets(bin), ...targets(man))
  const missing = wanted.filter(file => !files.includes(file))
  if (missing.length > 0) fail(`not in the package: ${missing.join(', ')}`)
  // With binding.gyp in it, npm would compile on every install.
  const allowed = [
    /^(LICENSE|README\.md|(CHANGELOG|SECURITY)\.md|THIRD-PARTY-NOTICES\.md|package\.json)$/,
    /^docs\/[\w-]+\.(md|svg)$/,
    /^examples\/([\w-]+\.js|guard\.json|compose\.yaml|[\w-]+\.service)$/,
    /^examples\/recipes\/[\w.-]+\.(js|yaml)$/,
    /^man\/[\w-]+\.1$/,
    /^schemas\/[\w-]+\.json$/,
    /^dist\/(esm|commonjs)\/(package\.json|(lib|types)\/.*\.(c?js|d\.c?ts|c?js\.map))$/,
  ]
  const surplus = files
    .filter(file => !binaries.includes(file))
    .filter(file => !allowed.some(pattern => pattern.test(file)))
  if (surplus.length > 0) fail(`in the package by mistake: ${surplus.join(', ')}`)
}

/** Yarn adds node-gyp to the dependencies of a package whose scripts name it, and npm runs those of installing. */
function checkScripts() {
  const bad = Object.entries(scripts).filter(
    ([script, command]) => /^(pre|post)?install$/.test(script) || command.includes('node-gyp'),
  )
  if (bad.length > 0) fail(`package.json has scripts that installing would use: ${bad.join('; ')}`)
}

const words = text => text.replace(/^ \.$/gm, '').replace(/\s+/g, ' ').trim()

/** The licences of what is compiled into the binaries, as their owners word them. */
async function checkNotices() {
  const notices = words(readFileSync(join(root, NOTICES), 'utf8'))
  const { top } = await toolchain()
  const copyright = (directory, name) =>
    readFileSync(join(directory, 'usr/share/doc', name, 'copyright'), 'utf8')
  const musl = copyright(top, 'musl')
  const gcc = copyright(await unpacked('notices', ['gcc-12-base']), 'gcc-12-base')
  const texts = {
    'node-addon-api': readFileSync(join(root, 'node_modules/node-addon-api/LICENSE.md'), 'utf8'),
    musl: /^License: MIT\n( Permission is hereby granted[^]*?)\n\n/m.exec(musl)[1],
    'its authors': /^Copyright: (2005-\d+ Rich Felker.*)$/m.exec(musl)[1],
    'libstdc++': /^GCC RUNTIME LIBRARY EXCEPTION$[^]*?requirements of the license of GCC\.$/m.exec(
      gcc,
    )[0],
  }
  for (const [name, text] of Object.entries(texts)) {
    if (!notices.includes(words(text))) fail(`${NOTICES} has not the licence of ${name}`)
  }
  console.log(`${NOTICES}: node-addon-api, musl, libstdc++ and libgcc`)
}

/** What a document of the package links to by a relative path is in the package, too. */
function checkLinks(files) {
  for (const file of files.filter(name => name.endsWith('.md'))) {
    const prose = readFileSync(join(root, file), 'utf8').replace(/^```[^]*?^```$/gm, '')
    for (const [, to] of prose.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      const target = join(dirname(file), to)
      if (!files.includes(target)) fail(`${file} links to ${target}, which is not in the package`)
    }
  }
}

// Each entry point is imported and required; the addon must load from the package's own prebuilds.
const LOADS = `
const entries = ${JSON.stringify(Object.keys(exports).filter(key => !key.endsWith('.json')))}
const specifiers = entries.map(entry => entry.replace(/^\\./, '${name}'))
const { createRequire } = require('node:module')
const { join } = require('node:path')
;(async () => {
  for (const specifier of specifiers) {
    const names = kind => Object.keys(kind).filter(key => !/^(default|__esModule|module\\.exports)$/.test(key))
    const imported = names(await import(specifier)).sort().join()
    const required = names(require(specifier)).sort().join()
    if (imported !== required) throw new Error(specifier + ': ' + imported + ' / ' + required)
  }
  const directory = join(__dirname, 'node_modules', '${name}')
  for (const format of ['esm', 'commonjs']) {
    const load = await import(join(directory, 'dist', format, 'lib/native/load.js'))
    const file = load.nativeFile('cgroup_oom.node')
    if (!file?.startsWith(join(directory, 'prebuilds'))) throw new Error('addon found at ' + file)
    const binding = load.tryBinding()
    if (binding instanceof Error) throw binding
  }
})()
`

try {
  const [given] = process.argv.slice(2)
  const tarball = given === undefined ? await pack() : resolve(given)
  const listed = (await must('tar', ['-tzf', tarball])).trim().split('\n')
  const packed = listed.map(file => file.replace(/^package\//, ''))
  checkContents(packed)
  checkLinks(packed)
  checkScripts()
  await checkNotices()
  console.log(`${basename(tarball)}: ${listed.length} files`)

  const tools = join(root, 'node_modules/.bin')
  console.log((await must(join(tools, 'publint'), ['run', tarball, '--strict'])).trim())
  console.log((await must(join(tools, 'attw'), [tarball])).trim())

  const user = join(temporary, 'user')
  await must('mkdir', [user])
  writeFileSync(join(user, 'package.json'), '{}')
  await must('npm', ['install', '--offline', '--no-audit', '--ignore-scripts', tarball], {
    cwd: user,
  })
  const prebuilds = join(user, 'node_modules', name, 'prebuilds')
  const lines = await needsOf(await toolchain(), prebuilds).catch(error => fail(error.message))
  console.log(lines.join('\n'))
  writeFileSync(join(user, 'loads.cjs'), LOADS)
  await must(process.execPath, ['loads.cjs'], { cwd: user })
  console.log('installed: import and require load every entry point, and the addon')

  for (const command of Object.keys(bin)) {
    const program = join(user, 'node_modules/.bin', command)
    const printed = await must(program, ['--version'], { cwd: user })
    if (printed !== `${version}\n`) fail(`${command} --version prints ${printed}`)
    // Its status depends on the machine; that it finds its native part does not.
    const { output } = await run(program, ['doctor', '--json'], { cwd: user })
    const { addon, guardian } = JSON.parse(output).probe
    if (!addon.available || !guardian.available) fail(`${command} doctor: ${output}`)
    if (!guardian.reason.includes(user)) fail(`${command}: ${guardian.reason} is not the package's`)
    console.log(`installed: ${command} runs`)
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
