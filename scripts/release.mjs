// A release: builds the package twice from what is committed and compares the builds byte by byte, checks the tarball,
// describes what it is made of, and tries it with every package manager. What is to be published is then in
// .cache/release/. It publishes nothing: it ends with the commands that do.
//
//   npm run release -- --dry-run   all of it at any time; prints what else the release needs
//   npm run release                only what can be published: fails at once where something is missing
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { fail, must, root, tableOf } from './run.mjs'
import { buildPackage, contents, differing, sha256 } from './release/build.mjs'
import { readiness } from './release/readiness.mjs'
import { serve } from './release/registry.mjs'
import { sbomOf } from './release/sbom.mjs'
import { tryManagers } from './release/try-managers.mjs'

const args = process.argv.slice(2)
const dry = args.includes('--dry-run')
if (args.some(arg => arg !== '--dry-run')) fail('usage: npm run release [-- --dry-run]')

// Modes of files are part of the tarball, and of what is built.
process.umask(0o022)
const temporary = mkdtempSync(join(tmpdir(), 'cgroup-oom-release-'))
// Also where fail() ends the script.
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }))

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const { name, version } = manifest
const out = join(root, '.cache/release')
const shown = file => relative(root, file)

const began = performance.now()
let last = began
function title(text) {
  const now = performance.now()
  if (last !== began) console.log(`(${((now - last) / 1000).toFixed(0)} s)`)
  console.log(`\n== ${text}`)
  last = now
}

title(`${name} ${version}`)
const { faults, waiting } = await readiness(manifest, new Date().toISOString().slice(0, 10))
if (faults.length > 0) fail(faults.join('\n'))
if (waiting.length > 0 && !dry) fail(`not to be published yet:\n  ${waiting.join('\n  ')}`)
const commit = (await must('git', ['rev-parse', 'HEAD'])).trim()
console.log(`commit ${commit}`)

title('two builds')
// In places of different depth, time zones and languages.
const places = [
  [join(temporary, 'one'), { TZ: 'UTC', LC_ALL: 'C' }],
  [join(temporary, 'the/second/of/two'), { TZ: 'Pacific/Kiritimati', LC_ALL: 'C.UTF-8' }],
]
const builds = []
for (const [place, variables] of places) {
  const tarball = await buildPackage(place, manifest, commit, variables)
  builds.push({ tarball, files: await contents(tarball, join(place, '.cache/unpacked')) })
  console.log(`${sha256(tarball)}  build ${builds.length}`)
}
const [first, second] = builds
const others = differing(first.files, second.files)
if (others.length > 0) fail(`the two builds differ in ${others.join(', ')}`)
if (sha256(first.tarball) !== sha256(second.tarball)) fail('the two tarballs differ')
console.log(`the same, byte by byte: ${first.files.length} files`)

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
const tarball = join(out, basename(first.tarball))
copyFileSync(first.tarball, tarball)

title('the tarball')
console.log((await must('node', ['scripts/check-pack.mjs', tarball])).trim())

title('SHA-256 of each file')
for (const [file, digest] of first.files) console.log(`${digest}  ${file}`)

title('what it is made of')
const sbom = join(out, `${name}-${version}.cdx.json`)
writeFileSync(sbom, await sbomOf(join(temporary, 'sbom'), manifest))
const { components, specVersion } = JSON.parse(readFileSync(sbom, 'utf8'))
for (const { name, version, licenses, purl } of components) {
  const [{ license, expression }] = licenses
  console.log([name, version, expression ?? license.id, purl].join('  '))
}
console.log(`${shown(sbom)}: CycloneDX ${specVersion}, valid`)

title('the package managers')
const registry = await serve(tarball, manifest)
const rows = await tryManagers(temporary, { name, version, url: registry.url })
registry.close()
console.log(tableOf(rows))
if (rows.flat().includes('FAILED')) fail('the package does not work with all of them')

title('done')
const sums = [tarball, sbom].map(file => `${sha256(file)}  ${basename(file)}\n`).join('')
writeFileSync(join(out, 'SHA256SUMS'), sums)
console.log(`${shown(out)}/: SHA256SUMS of\n${sums}${statSync(tarball).size} bytes, packed`)
console.log(`${((performance.now() - began) / 1000).toFixed(0)} s`)
if (waiting.length > 0) {
  console.log(`\nBefore it can be published:\n  ${waiting.join('\n  ')}`)
} else {
  console.log(`
To publish it, here:

  git tag -s v${version} -m '${name} ${version}' && git push origin v${version}

and in CI, at that tag, with an identity token of the CI (GitHub Actions: "permissions: id-token: write"):

  npm ci
  npm run release
  (cd ${shown(out)} && echo '${sha256(tarball)}  ${basename(tarball)}' | sha256sum --check)
  npm publish ${shown(tarball)} --provenance --access public

Then attach ${[tarball, sbom].map(file => basename(file)).join(', ')} and SHA256SUMS to the release of the tag.`)
}
