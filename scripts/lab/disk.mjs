// An empty ext4 for the machine, for what a file system in memory does not have: page cache that can
// be reclaimed. It goes without where this machine cannot make one.
import { existsSync, truncateSync, writeFileSync } from 'node:fs'
import { must } from '../run.mjs'

const BYTES = 1024 ** 3

export async function makeDisk(file) {
  const mke2fs = ['/sbin/mke2fs', '/usr/sbin/mke2fs'].find(existsSync)
  if (!mke2fs) return undefined
  writeFileSync(file, '')
  truncateSync(file, BYTES)
  await must(mke2fs, ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', file])
  return file
}
