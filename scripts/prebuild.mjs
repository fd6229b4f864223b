// Before packing: copies this machine's native programs, stripped, to prebuilds/<platform>-<arch>-
// <libc>/, and refuses those that need a newer C or C++ library than the package promises.
// With --clean, after packing: removes them, as the loader would prefer them to the next build.
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { hostPrebuilds } from './host.mjs'
import { fail, must, root } from './run.mjs'
import { compareVersions } from './versions.mjs'

const PROGRAMS = ['cgroup_oom.node', 'oom-launcher', 'oom-guardian']

// The newest symbol versions allowed: those of RHEL 9, the oldest system with a Node.js of ours that
// a compiler of Debian 12 can still serve. (Node.js 20's own binaries need glibc 2.28.)
const NEWEST = { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.13' }

const target = join(root, hostPrebuilds())

const newer = (a, b) => compareVersions(a, b) > 0

/** The newest version needed of each library, such as { GLIBC: '2.34' }. */
async function needs(file) {
  const found = {}
  for (const [, name, version] of (await must('readelf', ['-W', '--version-info', file])).matchAll(
    /Name: ([A-Z]+)_([\d.]+)/g,
  )) {
    if (name in NEWEST && (!(name in found) || newer(version, found[name]))) found[name] = version
  }
  return found
}

rmSync(target, { recursive: true, force: true })
if (!process.argv.includes('--clean')) {
  mkdirSync(target, { recursive: true })
  const built = PROGRAMS.filter(name => existsSync(join(root, 'build/Release', name)))
  if (!built.includes(PROGRAMS[0])) fail(`build/Release/${PROGRAMS[0]} has not been built`)
  for (const name of built) {
    const copy = join(target, name)
    copyFileSync(join(root, 'build/Release', name), copy)
    await must('strip', ['--strip-unneeded', copy])
    const needed = await needs(copy)
    const tooNew = Object.keys(needed).filter(library => newer(needed[library], NEWEST[library]))
    const list = Object.entries(needed).map(([library, version]) => `${library} ${version}`)
    // npm gives the tarball's name on stdout, for scripts.
    console.error(`${join(hostPrebuilds(), name)}: needs ${list.join(', ') || 'no shared library'}`)
    if (tooNew.length > 0) {
      rmSync(target, { recursive: true })
      fail(
        `${name} would not load on every system that the package promises: ` +
          tooNew.map(library => `${library} ${needed[library]} > ${NEWEST[library]}`).join(', '),
      )
    }
  }
}
