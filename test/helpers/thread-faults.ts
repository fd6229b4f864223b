// Page faults of another process's threads, as the kernel counts them: proc(5), /proc/PID/task/TID/stat.
import { readdirSync, readFileSync } from 'node:fs'

/** Of each thread of the library: minor and major faults so far, by its name and number. */
export function threadFaults(pid: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8')
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
    if (!name.startsWith('oom-')) continue
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    counts.set(`${name} ${tid}`, Number(fields[7]) + Number(fields[9]))
  }
  return counts
}

/** Of those that were there before, which all still are: how many more. */
export function faultsSince(before: Map<string, number>, pid: number): Record<string, number> {
  const now = threadFaults(pid)
  return Object.fromEntries(
    [...before].map(([thread, count]) => {
      if (!now.has(thread)) throw new Error(`${thread} has ended`)
      return [thread, now.get(thread)! - count]
    }),
  )
}
