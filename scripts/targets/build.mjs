// Builds the binaries of the package for every target: four addons, {x64, arm64} × {glibc, musl}, and
// two sets of programs, static against musl, that serve both C libraries of a processor. binding.gyp is
// what a clone builds for itself; the flags of both are the same as far as they matter.
import { mkdirSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { nodeHeaders } from '../host.mjs'
import { inParallel, must } from '../run.mjs'
import { glibcStubs } from './stubs.mjs'
import { cache } from './toolchain.mjs'

export const ARCHITECTURES = ['x64', 'arm64']
export const LIBCS = ['glibc', 'musl']
export const ADDON = 'cgroup_oom.node'
export const HELPERS = ['oom-guardian', 'oom-launcher']

const EVERY = [
  '-std=c++20 -pthread -fno-exceptions -fno-rtti -fvisibility=hidden -fvisibility-inlines-hidden',
  '-Wall -Wextra -Wno-unused-parameter -Werror -D_GNU_SOURCE -Inative -ffunction-sections -fdata-sections',
].flatMap(line => line.split(' '))
const OF_ADDON = [
  '-fPIC -O2 -fno-omit-frame-pointer -DNAPI_VERSION=8 -DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
  '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS -DBUILDING_NODE_EXTENSION',
].flatMap(line => line.split(' '))
// Without position: the programs stand at addresses of their own.
const OF_HELPER = { 'oom-guardian': ['-fno-pie', '-Os'], 'oom-launcher': ['-fno-pie', '-O2'] }
const LINK = ['-Wl,-z,relro', '-Wl,-z,noexecstack', '-Wl,--gc-sections', '-Wl,--build-id=none']
// Only what Node.js looks for is visible: operator new of the addon is nobody else's.
const EXPORTS = 'native/targets/exports.map'

/** The sources of a room each, as one file (scripts/unity.mjs). */
async function rooms(name, lists) {
  const directory = join('.cache/targets/unity', name)
  const printed = await must('node', ['scripts/unity.mjs', directory, ...lists])
  return printed.trim().split('\n')
}

function includes(part, libc) {
  const own = join(part.gcc, 'include')
  const system =
    libc === 'musl'
      ? ['native/targets/musl', ...part.cxx, own, part.muslInclude, part.kernel]
      : [...part.cxx, own, part.include, part.multiarch]
  return ['-nostdinc', '-nostdinc++', ...system.flatMap(directory => ['-isystem', directory])]
}

// Against musl libstdc++ cannot find out by weak symbols whether there are threads: in a static program
// its mutexes would then lock nothing.
const ofLibc = libc => (libc === 'musl' ? ['-D_GLIBCXX_GTHREAD_USE_WEAK=0'] : [])

const ofArch = arch => (arch === 'arm64' ? ['-mno-outline-atomics'] : [])

class Builder {
  #chain
  #output
  #jobs = []

  constructor(chain, output) {
    this.#chain = chain
    this.#output = output
  }

  /** Notes a source to be compiled; the object's path. */
  object(what, arch, libc, flags, source) {
    const directory = join(this.#output, `${what}-${arch}-${libc}`)
    mkdirSync(directory, { recursive: true })
    const object = join(directory, `${basename(source, '.cc')}.o`)
    this.#jobs.push({ arch, libc, flags, source, object })
    return object
  }

  async compile() {
    // The largest room first: it is what the last processor would wait for.
    const large = ({ source }) => /binding|core_guard/.test(source)
    const jobs = [...this.#jobs.filter(large), ...this.#jobs.filter(job => !large(job))]
    await inParallel(jobs, async ({ arch, libc, flags, source, object }) => {
      const part = this.#chain.of(arch)
      const how = [...EVERY, ...flags, ...ofLibc(libc), ...ofArch(arch), ...includes(part, libc)]
      // As for CMake: ccache, where a developer has it.
      const launcher = process.env.CMAKE_CXX_COMPILER_LAUNCHER
      const command = [part.program('g++-12'), ...how, '-c', source, '-o', object]
      if (launcher) command.unshift(launcher)
      await must(command[0], command.slice(1), { env: this.#chain.env })
    })
  }

  run(part, program, args) {
    return must(part.program(program), args, { env: this.#chain.env })
  }

  async link(arch, args, file) {
    const part = this.#chain.of(arch)
    const libraries = [join(part.gcc, 'libstdc++.a'), join(part.gcc, 'libgcc.a')]
    await this.run(part, 'g++-12', ['-nostdlib', ...LINK, ...args(part, libraries), '-o', file])
    await this.run(part, 'strip', ['--strip-all', file])
  }
}

/** Builds all targets into a directory: prebuilds/ as it is in the package. */
export async function buildTargets(chain, prebuilds) {
  const work = join(cache, `build-${process.pid}`)
  const builder = new Builder(chain, work)
  const headers = [`-I${await nodeHeaders()}`, '-Inode_modules/node-addon-api']
  const addonFiles = [
    ...(await rooms('core', ['shared_sources', 'core_sources'])),
    ...(await rooms('binding', ['binding_sources'])),
    'native/targets/runtime.cc',
  ]
  const helperFiles = {
    'oom-guardian': await rooms('guardian', ['shared_sources', 'guardian_sources']),
    'oom-launcher': ['native/guardian/launcher.cc'],
  }
  const links = []
  for (const arch of ARCHITECTURES) {
    for (const libc of LIBCS) {
      const directory = join(prebuilds, `linux-${arch}-${libc}`)
      mkdirSync(directory, { recursive: true })
      const files = libc === 'glibc' ? [...addonFiles, 'native/targets/glibc_2_28.cc'] : addonFiles
      const flags = [...OF_ADDON, ...headers]
      const objects = files.map(file => builder.object('addon', arch, libc, flags, file))
      links.push(async () => {
        const libraries =
          libc === 'glibc'
            ? await glibcStubs(chain, arch, join(work, `stubs-${arch}`))
            : // Debian's has no name of its own: by this one musl's loader knows itself.
              ['-L', dirname(chain.of(arch).muslShared), '-l:libc.so']
        const how = ['-shared', '-Wl,-z,nodelete', '-Wl,-z,now', `-Wl,--version-script=${EXPORTS}`]
        const args = (part, archives) => [
          ...[...how, join(part.gcc, 'crtbeginS.o'), ...objects, ...archives, ...libraries],
          join(part.gcc, 'crtendS.o'),
        ]
        await builder.link(arch, args, join(directory, ADDON))
      })
    }
    const directory = join(prebuilds, `linux-${arch}`)
    mkdirSync(directory, { recursive: true })
    for (const name of HELPERS) {
      const files = [...helperFiles[name], 'native/targets/runtime.cc']
      const objects = files.map(file => builder.object(name, arch, 'musl', OF_HELPER[name], file))
      links.push(async () => {
        const args = ({ gcc, muslLib }, archives) => [
          ...['-static', '-no-pie', join(muslLib, 'crt1.o'), join(muslLib, 'crti.o')],
          ...[join(gcc, 'crtbeginT.o'), ...objects, ...archives, join(muslLib, 'libc.a')],
          ...[join(gcc, 'libgcc.a'), join(gcc, 'crtend.o'), join(muslLib, 'crtn.o')],
        ]
        await builder.link(arch, args, join(directory, name))
      })
    }
  }
  mkdirSync(work, { recursive: true })
  try {
    await builder.compile()
    await inParallel(links, link => link())
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
