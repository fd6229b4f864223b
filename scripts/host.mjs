// The directory of prebuilt binaries for the machine this runs on; lib/native/load.ts loads from there.
import { join } from 'node:path'

export function hostPrebuilds() {
  process.report.excludeNetwork = true // no name look-ups for the sake of one field
  const { glibcVersionRuntime } = process.report.getReport().header
  const libc = glibcVersionRuntime === undefined ? 'musl' : 'glibc'
  return join('prebuilds', `${process.platform}-${process.arch}-${libc}`)
}
