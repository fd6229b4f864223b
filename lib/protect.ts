// protect(): keeps the kernel from choosing this process. proc_pid_oom_score_adj(5).
import { readFile, writeFile } from 'node:fs/promises'
import type { ProtectOptions } from '../types/protect.js'
import { integer, options as checkOptions } from './args.js'
import { OomError } from './errors.js'

const FILE = '/proc/self/oom_score_adj'

// In the order in which they were asked for; the last one counts. `found` is what was there before.
const active: { value: number }[] = []
let found = 0
let turn: Promise<unknown> = Promise.resolve()

/** One after the other: reading, writing and the list belong together. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = turn.then(work)
  turn = result.catch(() => {})
  return result
}

async function write(value: number): Promise<void> {
  try {
    await writeFile(FILE, String(value))
  } catch (error) {
    const { code = 'EIO', errno, message } = error as NodeJS.ErrnoException
    const help =
      code === 'EACCES' || code === 'EPERM'
        ? ' (lowering it needs CAP_SYS_RESOURCE in the initial user namespace: run with it, or let who starts the process set it: OOMScoreAdjust= in a systemd unit, --oom-score-adj of a container)'
        : ''
    throw new OomError(code, `${message}${help}`, {
      errno,
      syscall: 'write',
      path: FILE,
      cause: error,
    })
  }
}

async function current(): Promise<number> {
  try {
    return Number(await readFile(FILE, 'utf8'))
  } catch (error) {
    throw new OomError('ERR_CGROUP_UNSUPPORTED', `cgroup-oom does not work here: no ${FILE}`, {
      cause: error,
    })
  }
}

/**
 * Sets this process's `oom_score_adj`, from -1000 (default: never chosen by a kernel killer) to 1000
 * (first choice). Resolves with a function that puts back what was found; where `protect` has been
 * called several times, the last one not yet undone counts.
 *
 * Processes started meanwhile inherit the value. Do not let jobs inherit -1000: no killer, the
 * library's own included, would take them.
 *
 * Rejects with OomError `EACCES` where the value may not be lowered (it needs CAP_SYS_RESOURCE).
 */
export async function protect(options?: ProtectOptions): Promise<() => Promise<void>> {
  const { oomScoreAdj = -1000 } = checkOptions('options', options)
  const value = integer('options.oomScoreAdj', oomScoreAdj, -1000, 1000)
  const mine = { value }
  await inTurn(async () => {
    const before = await current()
    await write(value)
    if (active.length === 0) found = before
    active.push(mine)
  })
  return () =>
    inTurn(async () => {
      const at = active.indexOf(mine)
      if (at < 0) return
      const next = active.filter(one => one !== mine).at(-1)?.value ?? found
      if (at === active.length - 1) await write(next)
      active.splice(at, 1)
    })
}
