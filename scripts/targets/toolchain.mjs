// The compilers, headers and C libraries that the package's binaries are built with: Debian 12's, for
// x64 and arm64, glibc and musl, unpacked into .cache/targets. Nothing is installed and nobody has to
// be root; whatever the machine has itself is not used, so that the same sources give the same bytes.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Apt } from '../../lab/apt.mjs'
import { root } from '../run.mjs'

export const cache = join(root, '.cache/targets')

export const SUITES = { debian: ['bookworm'], 'debian-security': ['bookworm-security'] }
// What gcc and binutils themselves need, besides the C library, which has to be this machine's.
const LIBRARIES =
  'libbinutils libctf0 libctf-nobfd0 libgmp10 libisl23 libjansson4 libmpc3 libmpfr6'.split(' ')
const PACKAGES = [
  'gcc-12 g++-12 cpp-12 binutils-x86-64-linux-gnu libgcc-12-dev libstdc++-12-dev',
  'gcc-12-aarch64-linux-gnu g++-12-aarch64-linux-gnu cpp-12-aarch64-linux-gnu',
  'binutils-aarch64-linux-gnu libgcc-12-dev-arm64-cross libstdc++-12-dev-arm64-cross',
  'libc6 libc6-dev linux-libc-dev libc6-arm64-cross libc6-dev-arm64-cross linux-libc-dev-arm64-cross',
  'musl musl-dev musl:arm64 musl-dev:arm64',
].flatMap(line => line.split(' '))

/** Packages of Debian 12 in a directory of the cache, fetched when they are not there. */
export async function unpacked(name, packages, suites = SUITES) {
  const digest = createHash('sha256').update(packages.join()).digest('hex').slice(0, 12)
  const directory = join(cache, `${name}-${digest}`)
  if (existsSync(directory)) return directory
  console.error(`fetching ${name} from Debian's archive …`)
  const part = `${directory}.part-${process.pid}`
  mkdirSync(part, { recursive: true })
  try {
    const apt = new Apt(join(cache, `apt-${suites.debian[0]}`), { suites, foreign: ['arm64'] })
    await apt.unpack(packages, part)
    rmSync(join(part, 'debs'), { recursive: true, force: true })
    renameSync(part, directory)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
  return directory
}

/** Where the parts for a processor are, below the toolchain. */
function layout(top, arch) {
  const at = path => join(top, path)
  const triple = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[arch]
  const cross = arch === 'arm64'
  const include = at(cross ? `usr/${triple}/include` : 'usr/include')
  const multiarch = cross ? include : join(include, triple)
  const musl = triple.replace('-gnu', '-musl')
  return {
    program: name => at(`usr/bin/${triple}-${name}`),
    gcc: at(`usr/lib/gcc${cross ? '-cross' : ''}/${triple}/12`),
    cxx: [join(include, 'c++/12'), join(multiarch, `${cross ? 'c++/12/' + triple : 'c++/12'}`)],
    include,
    multiarch,
    glibc: at(cross ? `usr/${triple}/lib/libc.so.6` : `lib/${triple}/libc.so.6`),
    muslInclude: at(`usr/include/${musl}`),
    muslLib: at(`usr/lib/${musl}`),
    muslShared: at(`lib/${musl}/libc.so`),
    kernel: at(`kernel-${arch}`),
  }
}

/** Links to the kernel's headers alone: beside musl's own, none of glibc's may be found. */
function linkKernelHeaders({ kernel, include, multiarch }) {
  if (existsSync(kernel)) return
  mkdirSync(kernel)
  for (const name of ['linux', 'asm-generic']) {
    symlinkSync(relative(kernel, join(include, name)), join(kernel, name))
  }
  symlinkSync(relative(kernel, join(multiarch, 'asm')), join(kernel, 'asm'))
}

function linkLibraries(top) {
  const to = join(top, 'libraries')
  if (existsSync(to)) return to
  mkdirSync(to)
  const from = join(top, 'usr/lib/x86_64-linux-gnu')
  const wanted = /^lib(bfd|ctf|ctf-nobfd|gmp|isl|jansson|mpc|mpfr|opcodes|sframe)[-.]/
  for (const name of readdirSync(from).filter(file => wanted.test(file) && file.includes('.so'))) {
    symlinkSync(relative(to, join(from, name)), join(to, name))
  }
  return to
}

/** The toolchain: { top, env, of(arch) }. `env` is what its programs are started with. */
export async function toolchain() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('the binaries of the package are built on x64 Linux')
  }
  const top = await unpacked('toolchain', [...PACKAGES, ...LIBRARIES])
  const parts = { x64: layout(top, 'x64'), arm64: layout(top, 'arm64') }
  for (const part of Object.values(parts)) linkKernelHeaders(part)
  const env = { ...process.env, LD_LIBRARY_PATH: linkLibraries(top), LC_ALL: 'C' }
  for (const name of Object.keys(env)) {
    // Variables that change what gcc does.
    if (
      /^(CPATH|C_INCLUDE_PATH|CPLUS_INCLUDE_PATH|GCC_.*|COMPILER_PATH|LIBRARY_PATH)$/.test(name)
    ) {
      delete env[name]
    }
  }
  return { top, env, of: arch => parts[arch] }
}
