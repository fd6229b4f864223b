// What spawn() leaves behind for exitReport(): the group that a child was started in, and word of each new child to
// the reports that wait. Costs no system call, and nothing but a property where nobody waits.
import type { ChildProcess } from 'node:child_process'
import type { MemoryGroup } from '../../types/group.js'
import { useFirst } from '../group/memory-group.js'
import { handleOf } from '../handle/handle.js'

export interface Start {
  group: MemoryGroup
  /** The group was made by this process, and this is the first that it has put into it. */
  first: boolean
  /** performance.now() */
  at: number
}

// Registered: another copy of this package may have started the child.
const START = Symbol.for('cgroup-oom.start')

/** By the group's identity: who wants to know that another child was started in it. */
const waiting = new Map<string, Set<() => void>>()

export function startOf(child: ChildProcess): Start | undefined {
  return (child as { [START]?: Start })[START]
}

/** spawn(): the child is in that group before its first instruction. */
export function noteStart(child: ChildProcess, group: MemoryGroup): void {
  const value: Start = { group, first: useFirst(group), at: performance.now() }
  Object.defineProperty(child, START, { value })
  if (waiting.size === 0) return
  for (const heard of waiting.get(handleOf(group).identity) ?? []) heard()
}

/** Calls `heard` for each child that is started in the group from now on, until the result is called. */
export function hearStarts(identity: string, heard: () => void): () => void {
  const all = waiting.get(identity) ?? new Set()
  waiting.set(identity, all.add(heard))
  return () => {
    all.delete(heard)
    if (all.size === 0) waiting.delete(identity)
  }
}
