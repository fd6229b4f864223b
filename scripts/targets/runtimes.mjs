// Runtimes for each target: how to start one, as the first words of a command. Node.js and Bun come from
// npm, C libraries and QEMU from Debian, into .cache/.
import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fromNpm } from '../from-npm.mjs'
import { must } from '../run.mjs'
import { cache, toolchain, unpacked } from './toolchain.mjs'

export const NODE = '20.20.2'
export const BUN = '1.4.5'

const BULLSEYE = { debian: ['bullseye'], 'debian-security': ['bullseye-security'] }
const TRIPLES = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }
const LOADERS = { x64: 'ld-linux-x86-64.so.2', arm64: 'ld-linux-aarch64.so.1' }

const nodeOf = arch => fromNpm(`node-linux-${arch}`, NODE, 'bin/node')
const bunOf = arch =>
  fromNpm(`@oven/bun-linux-${arch === 'x64' ? 'x64' : 'aarch64'}-musl`, BUN, 'bin/bun')

/** Node.js with the C library of Debian 11. */
export async function nodeOnGlibc231() {
  const top = await unpacked('debian11', ['libc6', 'libstdc++6', 'libgcc-s1'], BULLSEYE)
  const lib = join(top, 'lib', TRIPLES.x64)
  const libraries = [lib, join(top, 'usr/lib', TRIPLES.x64)].join(':')
  return [join(lib, LOADERS.x64), '--library-path', libraries, await nodeOf('x64')]
}

/** Bun with Debian's musl. It needs a libstdc++, of which Debian has none for musl: glibc's, helped out. */
export async function bunOnMusl(arch) {
  const chain = await toolchain()
  const part = chain.of(arch)
  const libraries = join(cache, `musl-${arch}`)
  mkdirSync(libraries, { recursive: true })
  const suffix = arch === 'x64' ? '' : ':arm64'
  const cxx = await unpacked(`libstdc++-${arch}`, [`libstdc++6${suffix}`])
  const gcc = await unpacked(`libgcc-${arch}`, [`libgcc-s1${suffix}`], BULLSEYE)
  const triple = TRIPLES[arch]
  copyFileSync(join(cxx, 'usr/lib', triple, 'libstdc++.so.6'), join(libraries, 'libstdc++.so.6'))
  copyFileSync(join(gcc, 'lib', triple, 'libgcc_s.so.1'), join(libraries, 'libgcc_s.so.1'))
  const shim = join(libraries, LOADERS[arch])
  const flags = ['-D_GNU_SOURCE', '-shared', '-fPIC', '-nostdlib', `-Wl,-soname,${LOADERS[arch]}`]
  const source = 'scripts/targets/musl-shim.c'
  const headers = ['-nostdinc', '-isystem', part.muslInclude]
  await must(part.program('gcc-12'), [...flags, ...headers, '-o', shim, source], { env: chain.env })
  const loader = arch === 'x64' ? [] : await emulated([])
  const how = ['--library-path', libraries, '--preload', shim]
  return [...loader, part.muslShared, ...how, await bunOf(arch)]
}

/**
 * A command of arm64, run by QEMU. So that what it starts is run by it as well, QEMU is registered with
 * the kernel: in a user namespace of its own, so that nobody else sees it (Linux 6.7 and later).
 */
async function emulated(command, libraries = '/') {
  // Of Debian 13: openat2(2) is emulated from 9.2 on.
  const top = await unpacked('qemu', ['qemu-user'], { debian: ['trixie'] })
  const qemu = join(top, 'usr/bin/qemu-aarch64')
  const magic =
    '\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00'
  const mask =
    '\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff'
  const script = [
    'mount -t binfmt_misc none /proc/sys/fs/binfmt_misc',
    `printf '%s' ':arm64:M::${magic}:${mask}:${qemu}:F' >/proc/sys/fs/binfmt_misc/register`,
    'exec "$@"',
  ].join(' && ')
  return [
    ...['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh'],
    ...['env', `QEMU_LD_PREFIX=${libraries}`, ...command],
  ]
}

/** Node.js for arm64 and glibc 2.36: the program, and the directory of its libraries. */
export async function nodeForArm64() {
  const packages = ['libc6', 'libstdc++6', 'libgcc-s1'].map(name => `${name}-arm64-cross`)
  const top = await unpacked('arm64', packages)
  return { node: await nodeOf('arm64'), libraries: join(top, 'usr', TRIPLES.arm64, 'lib') }
}

export async function nodeOnArm64() {
  const { node, libraries } = await nodeForArm64()
  return emulated([node], dirname(libraries))
}
