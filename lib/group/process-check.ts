// Which processes are hardly moved into a group on purpose, as far as that is visible. Instead of a child's
// pid add() often gets a worker's threadId (1, 2, 3 …), which is the pid of another process.
import { readFileSync } from 'node:fs'

// include/linux/sched.h
const PF_KTHREAD = 0x0020_0000

function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return undefined
  }
}

const numberIn = (status: string, key: string): number =>
  Number(new RegExp(`^${key}:\\s+(\\d+)$`, 'm').exec(status)?.[1] ?? 0)

/** proc_pid_stat(5): the flags, behind the name, which may have any characters. */
function isKernelThread(pid: number): boolean {
  const [, rest] = /\) (.*)$/s.exec(read(pid, 'stat') ?? '') ?? []
  return (Number(rest?.split(' ')[6] ?? 0) & PF_KTHREAD) !== 0
}

function isAncestor(pid: number): boolean {
  for (let at = process.ppid; at > 1; at = numberIn(read(at, 'status') ?? '', 'PPid')) {
    if (at === pid) return true
  }
  return false
}

/** What is odd about moving the process; undefined: nothing, or there is no such process. */
export function oddToMove(pid: number): string | undefined {
  if (pid === process.pid) return undefined
  if (pid === 1) return 'process 1 is the first one of this machine or container'
  const status = read(pid, 'status')
  if (status === undefined) return undefined
  const leader = numberIn(status, 'Tgid')
  if (leader !== pid && leader !== 0) return `${pid} is a thread, of process ${leader}`
  if (isAncestor(pid)) return `process ${pid} is an ancestor of this one`
  if (isKernelThread(pid)) return `process ${pid} is a kernel thread`
  return undefined
}
