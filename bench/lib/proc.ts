// What the kernel shows of a process and its threads: proc(5).
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const read = (file: string) => readFileSync(`/proc/${file}`, 'utf8')
/** The kernel's clock tick in the files below /proc: USER_HZ. */
const TICK_MS = 10

export function threads(pid: number | 'self' = 'self'): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number)
}

export const nameOf = (pid: number | 'self', tid: number) => read(`${pid}/task/${tid}/comm`).trim()

export const fds = (): number => readdirSync('/proc/self/fd').length - 1

export const fdsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** Resident memory, bytes. */
export const rss = (pid: number | 'self' = 'self'): number =>
  Number(/^Rss:\s+(\d+)/m.exec(read(`${pid}/smaps_rollup`))![1]) * 1024

/** What the kernel has for itself in slabs and for each processor, bytes: proc_meminfo(5). */
export const kernelMemory = (): number =>
  [...read('meminfo').matchAll(/^(?:Slab|Percpu): +(\d+) kB$/gm)].reduce(
    (sum, [, kib]) => sum + Number(kib) * 1024,
    0,
  )

/** Of the processes that `parent` has started: the guardian. */
export function guardianOf(parent: number): number {
  for (const tid of threads(parent)) {
    const children = read(`${parent}/task/${tid}/children`).trim().split(' ').filter(Boolean)
    for (const pid of children.map(Number)) if (nameOf(pid, pid) === 'oom-guardian') return pid
  }
  throw new Error('there is no guardian')
}

function statFields(pid: number | 'self', tid: number): number[] {
  const text = read(`${pid}/task/${tid}/stat`)
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}

/** Page faults of a thread so far: minor and major. */
export function faults(pid: number, tid: number): { minor: number; major: number } {
  const fields = statFields(pid, tid)
  return { minor: fields[7]!, major: fields[9]! }
}

/** CPU time and voluntary context switches of each thread so far. */
export function activity(): Map<number, { name: string; cpuMs: number; woken: number }> {
  return new Map(
    threads().map(tid => {
      const fields = statFields('self', tid)
      const woken = /^voluntary_ctxt_switches:\s+(\d+)/m.exec(read(`self/task/${tid}/status`))!
      const cpuMs = (fields[11]! + fields[12]!) * TICK_MS
      return [tid, { name: nameOf('self', tid), cpuMs, woken: Number(woken[1]) }]
    }),
  )
}

/** Makes room for so many open files, where RLIMIT_NOFILE can be raised: prlimit(1). */
export function allowFds(count: number): void {
  const allowed = execFileSync('prlimit', [
    `--pid=${process.pid}`,
    '--nofile',
    '-o',
    'SOFT',
    '--noheadings',
  ])
  if (Number(allowed) < count) {
    execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${count}:${count}`])
  }
}
