// What the package is made of, as a CycloneDX document: cyclonedx-npm describes the package and what of npm is
// compiled in, from the versions that package-lock.json has; what is compiled in from Debian is added, and the whole
// is validated by the library behind that tool. What only builds and tests is not in it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { fromNpm } from '../from-npm.mjs'
import { must, root } from '../run.mjs'
import { toolchain, unpacked } from '../targets/toolchain.mjs'

const TOOL = ['@cyclonedx/cyclonedx-npm', '6.0.1', 'bin/cyclonedx-npm-cli.js']
// The headers of them are in the addon; all other devDependencies only build or test.
const COMPILED_IN = ['node-addon-api']

const json = file => JSON.parse(readFileSync(file, 'utf8'))

/** A package.json and a lock file that have what is compiled in as dependencies. */
function stage(directory, { name, version, description, license, author }) {
  const { packages } = json(join(root, 'package-lock.json'))
  const paths = COMPILED_IN.map(one => `node_modules/${one}`)
  const dependencies = Object.fromEntries(
    COMPILED_IN.map((one, i) => [one, packages[paths[i]].version]),
  )
  const own = { name, version, description, license, author, dependencies }
  const entries = paths.map(path => {
    const { dev, ...rest } = packages[path]
    if (dev !== true) throw new Error(`${path} is no devDependency`)
    // The lock file names no registry; with one the document has the hash.
    const name = path.split('/').at(-1)
    const resolved = `https://registry.npmjs.org/${name}/-/${name}-${rest.version}.tgz`
    return [path, { resolved, ...rest }]
  })
  const locked = { '': { name, version, license, dependencies }, ...Object.fromEntries(entries) }
  const lock = { name, version, lockfileVersion: 3, requires: true, packages: locked }
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'package.json'), JSON.stringify(own))
  writeFileSync(join(directory, 'package-lock.json'), JSON.stringify(lock))
}

/** What Debian's packages have of themselves: "musl (1.2.3-1) unstable; urgency=medium". */
function debianVersion(top, name) {
  const file = join(top, 'usr/share/doc', name, 'changelog.Debian.gz')
  return /^\S+ \((.+?)\)/.exec(gunzipSync(readFileSync(file)).toString())[1]
}

async function ofDebian() {
  const { top } = await toolchain()
  const musl = debianVersion(top, 'musl')
  const gcc = debianVersion(await unpacked('notices', ['gcc-12-base']), 'gcc-12-base')
  const component = (name, version, source, license, description) => ({
    ...{ type: 'library', name, version, description, licenses: [license] },
    purl: `pkg:deb/debian/${source}@${encodeURIComponent(version)}?arch=source&distro=bookworm`,
  })
  const runtime = { expression: 'GPL-3.0-or-later WITH GCC-exception-3.1' }
  return [
    component(
      'libgcc',
      gcc,
      'gcc-12',
      runtime,
      'helpers of the compiler, in the addon and the programs',
    ),
    component(
      'libstdc++',
      gcc,
      'gcc-12',
      runtime,
      'templates, trees and hash tables, in the addon and the programs',
    ),
    component('musl', musl, 'musl', { license: { id: 'MIT' } }, 'C library of the programs'),
  ]
}

/** The document as JSON text. */
export async function sbomOf(directory, manifest) {
  stage(directory, manifest)
  const tool = await fromNpm(...TOOL)
  const how = ['--package-lock-only', '--output-format', 'JSON', '--spec-version', '1.6']
  const file = join(directory, 'npm.cdx.json')
  const to = ['--output-reproducible', '--mc-type', 'library', '--output-file', file]
  await must(process.execPath, [tool, ...how, ...to], { cwd: directory })
  const document = json(file)
  const added = await ofDebian()
  const [own] = document.dependencies.filter(
    ({ ref }) => ref === document.metadata.component['bom-ref'],
  )
  for (const component of added) {
    component['bom-ref'] = component.purl.replace('pkg:', `${component.name}|`)
    own.dependsOn.push(component['bom-ref'])
    document.dependencies.push({ ref: component['bom-ref'] })
    document.components.push(component)
  }
  const { Spec, Validation } = createRequire(tool)('@cyclonedx/cyclonedx-library')
  const text = `${JSON.stringify(document, null, 2)}\n`
  const faults = await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text)
  if (faults !== null) throw new Error(`the SBOM is not valid: ${JSON.stringify(faults)}`)
  return text
}
