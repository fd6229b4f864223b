// Which kernels the lab boots and where each comes from: the newest package of a version that
// Debian's archive has now, kept in the cache under the requested version.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { compareVersions } from '../scripts/versions.mjs'

// linux-image-6.1.0-56-cloud-amd64, linux-image-6.12.117+deb12-cloud-amd64; from 7.0 on the package that
// holds the file is linux-binary-….
const versionOf = name => /^linux-(?:image|binary)-(.+)-cloud-amd64$/.exec(name)[1]

/** The packages to try for a version ("6.1", "newest"), best first. */
export function candidates(names, wanted) {
  const fits = version => wanted === 'newest' || /^\D/.test(version.slice(wanted.length))
  const versions = names.map(versionOf)
  const chosen = versions
    .filter(version => wanted === 'newest' || (version.startsWith(wanted) && fits(version)))
    .sort(compareVersions)
    .at(-1)
  return ['linux-binary', 'linux-image']
    .map(kind => `${kind}-${chosen}-cloud-amd64`)
    .filter(name => names.includes(name))
}

function imageIn(directory) {
  const found = readdirSync(directory, { recursive: true }).find(name =>
    /(^|\/)vmlinuz[^/]*$/.test(name),
  )
  return found && join(directory, found)
}

/** A kernel in the cache, fetched when it is not there: { file, release }. */
export async function kernel(apt, cache, wanted) {
  const home = join(cache, 'kernels', wanted)
  const known = () => ({
    file: join(home, 'vmlinuz'),
    release: readFileSync(join(home, 'release'), 'utf8'),
  })
  if (existsSync(join(home, 'release'))) return known()
  for (const name of candidates(await apt.kernels(), wanted)) {
    console.error(`lab: fetching ${name} …`)
    const unpacked = join(cache, `kernel.part-${process.pid}`)
    try {
      await apt.unpack([name], unpacked)
      const image = imageIn(unpacked)
      if (image === undefined) continue
      mkdirSync(home, { recursive: true })
      renameSync(image, join(home, 'vmlinuz'))
      writeFileSync(join(home, 'release'), versionOf(name))
      return known()
    } finally {
      rmSync(unpacked, { recursive: true, force: true })
    }
  }
  throw new Error(`Debian's archive has no kernel ${wanted} now`)
}
