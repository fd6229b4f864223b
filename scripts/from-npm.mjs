// Programs of the npm registry at exactly one version, into .cache/runtimes: runtimes, package managers, tools that
// are needed now and then and are no dependency.
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { must, root } from './run.mjs'

/** The path of a file of the package, which is fetched when it is not there. It may be for another machine. */
export async function fromNpm(name, version, file) {
  const prefix = join(root, '.cache/runtimes', `${name.replaceAll('/', '+')}@${version}`)
  const path = join(prefix, 'node_modules', name, file)
  if (existsSync(path)) return path
  console.error(`fetching ${name}@${version} …`)
  mkdirSync(prefix, { recursive: true })
  const how = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--force']
  await must('npm', ['install', '--prefix', prefix, ...how, `${name}@${version}`])
  if (!existsSync(path)) throw new Error(`${name}@${version} has no ${file}`)
  return path
}
