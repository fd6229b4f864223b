// Stand-ins for glibc that the addon is linked against: each symbol of Debian's glibc, without code, in
// the newest version that the oldest supported glibc has. So the linker writes down what that one
// offers, and refuses what it does not.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must } from '../run.mjs'
import { compareVersions } from '../versions.mjs'

/** The oldest glibc that the package promises to run on: that of RHEL 8 and of Node.js 20's binaries. */
export const OLDEST_GLIBC = '2.28'

// In another library up to glibc 2.31 or 2.33, whose file newer ones still have, empty.
const IN_LIBPTHREAD = /^(pthread|sem)_/

/** { name, version, moved } of what can be linked, by the dynamic symbols that readelf prints. */
export function linkable(text) {
  const known = new Map()
  // Num: Value Size Type Bind Vis Ndx Name@@VERSION
  const line =
    /^ *\d+: [0-9a-f]+ +\S+ (FUNC|OBJECT|IFUNC) +\S+ +\S+ +(\d+) ([^@\s]+)@@?GLIBC_([\d.]+)/gm
  for (const [, , section, name, version] of text.matchAll(line)) {
    if (section === '0') continue
    known.set(name, [...(known.get(name) ?? []), version])
  }
  const found = []
  for (const [name, versions] of known) {
    const sorted = versions.sort(compareVersions)
    const version = sorted.filter(one => compareVersions(one, OLDEST_GLIBC) <= 0).at(-1)
    if (version === undefined) continue
    const moved = compareVersions(sorted.at(-1), '2.31') > 0
    if (moved && !IN_LIBPTHREAD.test(name)) continue // in a library that nothing here needs
    found.push({ name, version, moved })
  }
  return found
}

async function library(chain, part, soname, symbols, directory) {
  const versions = [...new Set(symbols.map(({ version }) => version))].sort(compareVersions)
  const source = join(directory, `${soname}.s`)
  const script = join(directory, `${soname}.map`)
  const entries = symbols.map(
    ({ name, version }) =>
      `.globl stub_${name}\nstub_${name}:\n.symver stub_${name}, ${name}@@GLIBC_${version}`,
  )
  // Functions all: nothing that the addon uses of glibc is a variable.
  writeFileSync(source, `.text\n${entries.join('\n')}\n.byte 0\n`)
  writeFileSync(script, versions.map(version => `GLIBC_${version} {};\n`).join(''))
  const file = join(directory, soname)
  const how = ['-shared', '-nostdlib', `-Wl,-soname,${soname}`, `-Wl,--version-script=${script}`]
  await must(part.program('g++-12'), [...how, '-o', file, source], { env: chain.env })
  return file
}

/** The libraries to link an addon for glibc against. */
export async function glibcStubs(chain, arch, directory) {
  mkdirSync(directory, { recursive: true })
  const part = chain.of(arch)
  const text = await must(part.program('readelf'), ['-W', '--dyn-syms', part.glibc], {
    env: chain.env,
  })
  const symbols = linkable(text)
  const ofLibc = symbols.filter(({ moved }) => !moved)
  const ofLibpthread = symbols.filter(({ moved }) => moved)
  return [
    await library(chain, part, 'libc.so.6', ofLibc, directory),
    await library(chain, part, 'libpthread.so.0', ofLibpthread, directory),
  ]
}
