// What a binary of the package needs of the machine it runs on, and whether every machine of its
// target has it.
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { must } from '../run.mjs'
import { compareVersions } from '../versions.mjs'
import { ADDON, ARCHITECTURES, HELPERS, LIBCS } from './build.mjs'
import { OLDEST_GLIBC } from './stubs.mjs'

// What Node.js, Bun and Deno themselves offer an addon.
const OF_RUNTIME = /^(napi_|node_api_|uv_)/
const MACHINES = { x64: 'X86-64', arm64: 'AArch64' }
const LIBRARIES = { glibc: ['libc.so.6', 'libpthread.so.0'], musl: ['libc.so'] }

/** What readelf says of an ELF file, by what readelf prints. */
function parse(text) {
  const versions = [...text.matchAll(/Name: GLIBC_([\d.]+)/g)].map(([, version]) => version)
  // Num: Value Size Type Bind Vis Ndx Name; a version follows the name.
  const symbols = [...text.matchAll(/^ *\d+: 0+ +0 \S+ +GLOBAL +\S+ +UND ([^\s@]+)(@?)/gm)]
  return {
    libraries: [...text.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name),
    machine: /^ *Machine: +(.+)$/m.exec(text)[1],
    interpreter: /Requesting program interpreter: ([^\]]+)/.exec(text)?.[1],
    newest: versions.sort(compareVersions).at(-1),
    symbols: symbols.filter(([, , version]) => version === '').map(([, name]) => name),
  }
}

async function readelf(file) {
  return parse(
    await must('readelf', ['-W', '-h', '-d', '-l', '--version-info', '--dyn-syms', file]),
  )
}

/** The binaries of the package: { directory, name, arch, libc }; programs have no C library. */
export const BINARIES = ARCHITECTURES.flatMap(arch => [
  ...LIBCS.map(libc => ({ directory: `linux-${arch}-${libc}`, name: ADDON, arch, libc })),
  ...HELPERS.map(name => ({ directory: `linux-${arch}`, name, arch })),
])

/** The names that a C library defines. */
async function defined(file) {
  const text = await must('readelf', ['-W', '--dyn-syms', file])
  return new Set(
    [...text.matchAll(/ (?:GLOBAL|WEAK) +\S+ +\d+ ([^\s@]+)/g)].map(([, name]) => name),
  )
}

/** What the file needs, in words; throws when a machine of the target might not have it. */
async function needs(file, { name, arch, libc }, ofMusl) {
  const found = await readelf(file)
  const wrong = message => {
    throw new Error(`${file} ${message}`)
  }
  if (!found.machine.includes(MACHINES[arch])) wrong(`is for ${found.machine}`)
  if (name !== ADDON) {
    if (found.libraries.length > 0 || found.interpreter) wrong('is not static')
    return 'nothing'
  }
  const surplus = found.libraries.filter(library => !LIBRARIES[libc].includes(library))
  if (surplus.length > 0) wrong(`needs ${surplus.join(', ')}`)
  if (found.newest && compareVersions(found.newest, OLDEST_GLIBC) > 0) {
    wrong(`needs GLIBC_${found.newest}, and the package promises ${OLDEST_GLIBC}`)
  }
  const nowhere = found.symbols.filter(
    symbol => !OF_RUNTIME.test(symbol) && !(libc === 'musl' && ofMusl.has(symbol)),
  )
  if (nowhere.length > 0) wrong(`has symbols that nothing defines: ${nowhere.join(', ')}`)
  return [...found.libraries, ...(found.newest ? [`GLIBC_${found.newest}`] : [])].join(', ')
}

/** A line for each file below prebuilds/; throws when one is missing or would not load everywhere. */
export async function needsOf(chain, prebuilds) {
  const lines = []
  for (const binary of BINARIES) {
    const { directory, name, arch, libc } = binary
    const file = join(prebuilds, directory, name)
    if (!existsSync(file)) throw new Error(`${file} is missing`)
    const ofMusl = libc === 'musl' ? await defined(chain.of(arch).muslShared) : undefined
    const size = `${Math.ceil(statSync(file).size / 1024)} KiB`.padStart(8)
    const needed = await needs(file, binary, ofMusl)
    lines.push(`${join(directory, name).padEnd(34)} ${size}  needs ${needed}`)
  }
  return lines
}
