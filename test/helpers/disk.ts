// A directory on a real disk, whose page cache can be reclaimed; that of a file system in memory cannot.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Ending } from './scratch.js'

const TMPFS = 0x01021994
const RAMFS = 0x858458f6

function disk(): string | undefined {
  const inMemory = (path: string) => [TMPFS, RAMFS].includes(statfsSync(path).type)
  return [tmpdir(), '/var/tmp'].find(path => existsSync(path) && !inMemory(path))
}

/** Removed at the test's end; undefined: there is no disk. */
export function diskDir(t: Ending): string | undefined {
  const at = disk()
  if (at === undefined) return undefined
  const dir = mkdtempSync(join(at, 'cgroup-oom-'))
  t.teardown(async () => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Writes and reads files many times a group's limit, as a member of it; milliseconds that took. */
export async function cacheLoad(
  group: string,
  disk: string,
  { files, mib, rounds }: { files: number; mib: number; rounds: number },
): Promise<number> {
  const script = `echo $$ > "$1/cgroup.procs" && cd "$2" &&
    for round in $(seq ${rounds}); do for file in $(seq ${files}); do
      dd if=/dev/zero of=$file bs=64k count=${mib * 16} 2>&1 && cat $file > /dev/null || exit
    done; done > /dev/null`
  const began = process.hrtime.bigint()
  const child = spawn('sh', ['-c', script, 'cache', group, disk], { stdio: 'inherit' })
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (code !== 0) throw new Error(`the load ended with ${code ?? signal}`)
  return Number(process.hrtime.bigint() - began) / 1e6
}
