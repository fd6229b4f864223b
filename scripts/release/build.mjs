// The package, built from what is committed: in a directory, a time zone and a language of its own, without ccache.
// What two such builds have the same does not depend on where and when they were made.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { must, root } from '../run.mjs'
import { cache, toolchain } from '../targets/toolchain.mjs'

// Of a developer's: what a compiler or its cache is told.
const VARIABLES = /^(CC|CXX|C(XX|PP)?FLAGS|LDFLAGS|CCACHE_.*|CMAKE_.*|SOURCE_DATE_EPOCH)$/

/** Builds and packs what the commit has; the tarball's path. */
export async function buildPackage(directory, { name, version }, commit, variables) {
  await toolchain() // fetched once, for both
  mkdirSync(directory, { recursive: true })
  await must('sh', ['-c', 'git archive "$1" | tar -x -C "$0"', directory, commit])
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  const parts = join(directory, '.cache/targets')
  mkdirSync(parts, { recursive: true })
  for (const part of readdirSync(cache).filter(one => /^(toolchain|notices)-\w+$/.test(one))) {
    symlinkSync(join(cache, part), join(parts, part))
  }
  const own = Object.entries(process.env).filter(([variable]) => !VARIABLES.test(variable))
  const env = { ...Object.fromEntries(own), CCACHE_DISABLE: '1', ...variables }
  const options = { cwd: directory, env }
  await must('node', ['scripts/build-ts.mjs'], options)
  await must('node', ['scripts/prebuild.mjs'], options)
  await must('npm', ['pack', '--ignore-scripts'], options)
  return join(directory, `${name}-${version}.tgz`)
}

export const sha256 = file => createHash('sha256').update(readFileSync(file)).digest('hex')

/** [file, SHA-256] of each file of a tarball, which is unpacked into `directory`. */
export async function contents(tarball, directory) {
  mkdirSync(directory, { recursive: true })
  await must('tar', ['-xzf', tarball, '-C', directory])
  const top = join(directory, 'package')
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
    .map(file => [file.slice(top.length + 1), sha256(file)])
}

/** The files in which two tarballs differ. */
export function differing(one, two) {
  const others = new Map(two)
  const names = new Set([...one, ...two].map(([file]) => file))
  const ones = new Map(one)
  return [...names].filter(file => ones.get(file) !== others.get(file))
}
