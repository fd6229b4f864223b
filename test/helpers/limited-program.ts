// Tries to guard under limits of its own (prlimit(1)) and without CAP_IPC_LOCK, and sends the error,
// and how many descriptors the attempt has left behind.
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryGroup } from '../../lib/index.js'

const [dir, limit, options] = process.argv.slice(2) as [string, string, string]
const fds = () => readdirSync('/proc/self/fd').length
const group = await MemoryGroup.open(dir)

async function attempt(): Promise<Error & { code?: string }> {
  try {
    const guard = await group.guard({ delayMs: 60_000, ...JSON.parse(options) })
    await guard.dispose()
    return Object.assign(new Error('it was not refused'), { code: 'NONE' })
  } catch (error) {
    return error as Error
  }
}

let error: Error & { code?: string } = new Error('nothing was tried')
let left = 0
if (limit === 'later') {
  // Armed, then out of descriptors: reports that, and stays until it is ended.
  const guard = await group.guard({ delayMs: 60_000, ...JSON.parse(options) })
  const taken: number[] = []
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${fds() + 10}:${fds() + 10}`])
  for (;;) {
    try {
      taken.push(openSync('/dev/null', 'r'))
    } catch {
      break
    }
  }
  process.send!({ full: true })
  await new Promise(resolve => process.once('message', resolve))
  await guard.dispose()
  process.disconnect()
  process.exit(0)
}
if (limit === 'nofile') {
  // The first attempt starts threads that stay. Then each number of free descriptors, one more at a
  // time, until it works: wherever it fails, nothing may stay behind.
  await attempt()
  const before = fds()
  const taken: number[] = []
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${before + 60}:${before + 60}`])
  for (;;) {
    try {
      taken.push(openSync('/dev/null', 'r'))
    } catch {
      break
    }
  }
  for (let i = 0; i < 50; i += 3) {
    for (const fd of taken.splice(0, 3)) closeSync(fd)
    const occupied = fds()
    error = await attempt()
    // The guardian that was started takes its time to leave, and its socket goes with it.
    for (let i = 0; i < 2000 && fds() > occupied; i++) await sleep(5)
    left = Math.max(left, fds() - occupied)
    if (error.code !== 'EMFILE') break
  }
  for (const fd of taken) closeSync(fd)
} else {
  // SECBIT-free: without the capability the limit counts.
  execFileSync('prlimit', ['--pid', String(process.pid), `--${limit}`])
  process.setgid!(65534)
  process.setuid!(65534)
  error = await attempt()
}
process.send!({
  name: error.name,
  code: error.code,
  message: error.message,
  left,
})
process.disconnect()
