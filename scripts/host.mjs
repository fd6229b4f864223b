// This machine: the directory of prebuilt binaries for it, where lib/native/load.ts looks first, and the
// headers of its Node.js.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

export function hostPrebuilds() {
  process.report.excludeNetwork = true // no name look-ups for the sake of one field
  const { glibcVersionRuntime } = process.report.getReport().header
  const libc = glibcVersionRuntime === undefined ? 'musl' : 'glibc'
  return join('prebuilds', `${process.platform}-${process.arch}-${libc}`)
}

/** The directory of node_api.h: what came with this Node.js, else what node-gyp fetches. */
export async function nodeHeaders() {
  const own = [process.env.npm_config_nodedir, dirname(dirname(process.execPath))]
  const fetched = join(homedir(), '.cache/node-gyp', process.versions.node)
  const found = () =>
    [...own, fetched]
      .filter(Boolean)
      .map(prefix => join(prefix, 'include/node'))
      .find(directory => existsSync(join(directory, 'node_api.h')))
  if (found() === undefined) {
    spawnSync(process.execPath, ['node_modules/node-gyp/bin/node-gyp.js', 'install'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }
  if (found() === undefined) throw new Error('the headers of this Node.js were not found')
  return found()
}
