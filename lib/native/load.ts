// Finds and loads the addon: prebuilt binaries inside the package first (prebuilds/
// <platform>-<arch>-<libc>/), then what node-gyp built here (build/Release). Nothing is loaded on
// import: the first call that needs it asks, and where there is none the reason is kept.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { here, requireFrom } from './dirname.js'
import type { Binding } from './binding.js'

/** The package's own directory: the nearest one above with its package.json. */
function packageRoot(): string {
  for (let dir = here; ; dir = dirname(dir)) {
    const manifest = join(dir, 'package.json')
    // dist/esm and dist/commonjs have a package.json of their own, without a name.
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }
      if (name === 'cgroup-oom') return dir
    }
    if (dir === dirname(dir)) throw new Error('cgroup-oom: package root not found')
  }
}

/** glibc or musl, told apart as Node.js itself reports it; '' where there is neither. */
function libc(): string {
  if (process.platform !== 'linux') return ''
  const header = (process.report?.getReport() as { header?: { glibcVersionRuntime?: string } })
    .header
  return header?.glibcVersionRuntime === undefined ? '-musl' : '-glibc'
}

let directories: readonly string[] | undefined

/** Where native files may be, best first. Looked up once: Node's report takes milliseconds. */
export function nativeDirectories(): readonly string[] {
  if (directories) return directories
  const root = packageRoot()
  return (directories = [
    join(root, 'prebuilds', `${process.platform}-${process.arch}${libc()}`),
    join(root, 'build', 'Release'),
  ])
}

/** The absolute path of a native file of the package (the addon, the launcher, the guardian). */
export function nativeFile(name: string): string | undefined {
  return nativeDirectories()
    .map(dir => join(dir, name))
    .find(file => existsSync(file))
}

let loaded: Binding | undefined
let failure: Error | undefined

/** The addon, or the reason why there is none. Never throws. */
export function tryBinding(): Binding | Error {
  if (process.platform !== 'linux') {
    return new Error(`memory cgroups are a Linux feature; this is ${process.platform}`)
  }
  return tryAddon()
}

/** As {@link tryBinding}; on other platforms it is an addon with nothing but the simulation. */
export function tryAddon(): Binding | Error {
  if (loaded) return loaded
  if (failure) return failure
  try {
    const file = nativeFile('cgroup_oom.node')
    if (file === undefined) {
      throw new Error(
        `no native addon for ${process.platform}-${process.arch}; looked in ${nativeDirectories().join(', ')}`,
      )
    }
    loaded = requireFrom(file) as Binding
    return loaded
  } catch (error) {
    failure = error as Error
    return failure
  }
}
