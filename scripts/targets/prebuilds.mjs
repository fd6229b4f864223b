// The binaries of all targets, built from the sources as they are; kept in .cache/targets until those
// change.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { nodeHeaders } from '../host.mjs'
import { files, root } from '../run.mjs'
import { buildTargets } from './build.mjs'
import { cache } from './toolchain.mjs'

/** Names what is built from exactly these sources. */
async function digest() {
  const sources = [
    ...files('native', ['.cc', '.h', '.gypi', '.map']),
    ...files('scripts/targets', ['.mjs']),
    ...files('node_modules/node-addon-api', ['.h']),
    'scripts/unity.mjs',
  ].map(name => join(root, name))
  const hash = createHash('sha256')
  for (const file of [...sources, join(await nodeHeaders(), 'node_version.h')]) {
    hash.update(`\0${relative(root, file)}\0`).update(readFileSync(file))
  }
  return hash.digest('hex').slice(0, 12)
}

/** A directory like prebuilds/ of the package. */
export async function builtTargets(chain) {
  const kept = join(cache, `prebuilds-${await digest()}`)
  if (existsSync(kept)) return kept
  const old = readdirSync(cache).filter(name => name.startsWith('prebuilds-'))
  for (const name of old) rmSync(join(cache, name), { recursive: true })
  const part = `${kept}.part-${process.pid}`
  console.error('building the native files of every target …')
  try {
    await buildTargets(chain, part)
    renameSync(part, kept)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
  return kept
}
