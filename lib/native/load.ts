// Finds and loads the addon: prebuilt binaries inside the package first (the addon in prebuilds/
// <platform>-<arch>-<libc>/, the programs, which are static, in prebuilds/<platform>-<arch>/), then what
// node-gyp built here (build/Release). Nothing is loaded on import: the first call that needs it asks,
// and where there is none the reason is kept.
//
// A bundler takes the JavaScript out of the package and leaves the native files behind. Where the
// package is installed beside the bundle, it is found there all the same.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { VERSION } from '../base/version.js'
import type { Binding } from './binding.js'
import { here } from './dirname.js'
import { elfFault } from './elf.js'

const NAME = 'cgroup-oom'

/** Why there is no addon, and what to do about it. */
export class LoadFailure extends Error {
  constructor(
    readonly reason: string,
    readonly remedy: string,
    cause?: unknown,
  ) {
    super(`${reason} (${remedy})`, cause === undefined ? undefined : { cause })
  }
}

interface Manifest {
  name?: string
  version?: string
}

const manifestOf = (file: string): Manifest => JSON.parse(readFileSync(file, 'utf8')) as Manifest

const requireHere = (): NodeJS.Require => createRequire(join(here, 'native.js'))

/** The nearest directory above with the package's own package.json. */
function around(): string | undefined {
  for (let dir = here; ; dir = dirname(dir)) {
    const manifest = join(dir, 'package.json')
    // dist/esm and dist/commonjs have a package.json of their own, without a name.
    if (existsSync(manifest) && manifestOf(manifest).name === NAME) return dir
    if (dir === dirname(dir)) return undefined
  }
}

/** The package as it is installed beside a bundle of its JavaScript. */
function beside(): string | undefined {
  let manifest: string
  try {
    manifest = requireHere().resolve(`${NAME}/package.json`)
  } catch {
    return undefined
  }
  const { version } = manifestOf(manifest)
  if (version === VERSION) return dirname(manifest)
  throw new LoadFailure(
    `the bundled JavaScript is of ${NAME} ${VERSION}, but ${dirname(manifest)} is version ${version}`,
    `bundle again with the version that is installed, or mark ${NAME} as external in the bundler`,
  )
}

let root: string | undefined

/** The package's own directory. */
export function packageRoot(): string {
  root ??= around() ?? beside()
  if (root !== undefined) return root
  throw new LoadFailure(
    `the native files of ${NAME} cannot be found from ${here}: the package seems to have been bundled`,
    `mark ${NAME} as external in the bundler (esbuild --external:${NAME}, externals in webpack, external in Rollup and Vite, serverExternalPackages in Next.js) and deploy node_modules/${NAME} with the bundle`,
  )
}

/** glibc or musl, as Node.js itself reports it; '' where there is neither. */
function libc(): string {
  if (process.platform !== 'linux') return ''
  const header = (process.report?.getReport() as { header?: { glibcVersionRuntime?: string } })
    .header
  return header?.glibcVersionRuntime === undefined ? '-musl' : '-glibc'
}

let directories: readonly string[] | undefined

/** Where native files may be, best first. Determined once: Node's report takes milliseconds. */
export function nativeDirectories(): readonly string[] {
  if (directories) return directories
  const top = packageRoot()
  const machine = join(top, 'prebuilds', `${process.platform}-${process.arch}`)
  return (directories = [`${machine}${libc()}`, machine, join(top, 'build', 'Release')])
}

const found = new Map<string, string>()

/** The absolute path of a native file of the package (the addon, the launcher, the guardian). */
export function nativeFile(name: string): string | undefined {
  const known = found.get(name)
  if (known !== undefined) return known
  const file = nativeDirectories()
    .map(dir => join(dir, name))
    .find(path => existsSync(path))
  if (file !== undefined) found.set(name, file)
  return file
}

/** Why a native file is not there. */
export function missingFiles(): LoadFailure {
  const top = packageRoot()
  const [wanted, , built] = nativeDirectories()
  const platform = wanted!.slice(join(top, 'prebuilds').length + 1)
  const there = [wanted!, built!].find(dir => existsSync(dir))
  if (there !== undefined) {
    return new LoadFailure(`${there} is incomplete`, 'install the package again')
  }
  let others: string[] = []
  try {
    // Without those that have the programs alone.
    others = readdirSync(join(top, 'prebuilds')).filter(name => !/^linux-[^-]+$/.test(name))
  } catch {}
  return others.length === 0
    ? new LoadFailure(
        `${top} has no native files`,
        `what has copied the package (a bundler, a file tracer, an image) must take its directory prebuilds/ too: includeFiles, outputFileTracingIncludes: node_modules/${NAME}/prebuilds/**; in a clone: npm run setup`,
      )
    : new LoadFailure(
        `${top} has no native files for ${platform}, only for ${others.join(', ')}`,
        'install the package on the platform where it runs (node_modules cannot be copied from another one); for a platform that has no prebuilt files, use a clone of the repository: npm run setup builds it for the machine it runs on',
      )
}

/** Why an addon that is whole cannot be loaded. */
function notLoaded(error: Error): LoadFailure {
  // dlopen(3) on a file system that is mounted noexec.
  const noexec = /failed to map segment/.test(error.message)
  return new LoadFailure(
    error.message,
    noexec
      ? 'its file system is mounted noexec: mount it with exec, or install the package on another one'
      : 'install the package again on the platform where it runs',
    error,
  )
}

let loaded: Binding | undefined
let failure: Error | undefined

/** The addon, or the reason why there is none. Never throws. */
export function tryBinding(): Binding | Error {
  if (process.platform !== 'linux') {
    return new LoadFailure(
      `memory cgroups are a Linux feature; this is ${process.platform}`,
      'use Linux',
    )
  }
  return tryAddon()
}

/** As {@link tryBinding}; on other platforms it is an addon with nothing but the simulation. */
export function tryAddon(): Binding | Error {
  if (loaded) return loaded
  if (failure) return failure
  try {
    const file = nativeFile('cgroup_oom.node')
    if (file === undefined) throw missingFiles()
    // First of all: a truncated one would end the process with SIGBUS.
    const fault = process.platform === 'linux' ? elfFault(file) : undefined
    if (fault) throw new LoadFailure(`${file}: ${fault.reason}`, fault.remedy)
    try {
      loaded = requireHere()(file) as Binding
    } catch (error) {
      throw notLoaded(error as Error)
    }
    return loaded
  } catch (error) {
    failure = error as Error
    return failure
  }
}
