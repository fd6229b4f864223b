// Makes room in a group of cgroup v2 that has processes of its own: all of them are moved into a leaf below it,
// then it can give groups below it the memory controller. Undone, everything is where it was.
//
// Kernel contract: a write to cgroup.procs moves a process with all its threads, ESRCH if it is ending. What is
// forked meanwhile is born where its parent is, so that one round after the other finds all of them. A group with
// processes cannot give controllers (EBUSY), one that gives some cannot take processes (EBUSY).
import { setTimeout as sleep } from 'node:timers/promises'
import { OomError, unseenMembers } from '../base/errors.js'
import { codeOf, nameOf, type Room } from './plain-group.js'

// How long processes that fork, or that are ending, may keep a group busy.
const PATIENCE_MS = 10_000

export interface Settled {
  /**
   * Everything goes back to where it was. Where it cannot, or groups below live by what was done, it stays and
   * works, and home() finds it again.
   */
  undo: () => Promise<void>
}

function refused(group: Room, pid: number, cause: unknown): OomError {
  const { message } = cause as Error
  const text = `process ${nameOf(pid)} of '${group.path}' cannot be moved into a group below it, and all are back where they were: ${message}`
  return new OomError('ERR_GROUP_OCCUPIED', text, { path: group.path, cause })
}

/**
 * One round; the number of processes that were moved, of those that it has not tried before: a process whose first
 * thread has ended stays listed where that thread was. Throws by the first that cannot be moved.
 */
function moveOnce(from: Room, to: Room, tried: Set<number>): number {
  const { pids, unseen } = from.members()
  if (unseen > 0) throw unseenMembers(from.path, unseen)
  const fresh = pids.filter(pid => !tried.has(pid))
  for (const pid of fresh) {
    tried.add(pid)
    try {
      to.add(pid)
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') throw refused(from, pid, error)
    }
  }
  return fresh.length
}

/**
 * As many as can be moved. Throws EBUSY if one cannot be, if there are groups in the leaf, or if it is busy for longer
 * than `patienceMs`: a process that is ending can no longer be moved, and keeps it busy until it has ended.
 */
async function moveBack(own: Room, leaf: Room, patienceMs: number): Promise<void> {
  const began = performance.now()
  // What is listed in `own` by its first thread, which has ended, has its other threads in the leaf.
  for (const pid of own.members().pids) movable(() => own.add(pid))
  for (;;) {
    const tried = new Set<number>()
    let stays = false
    for (;;) {
      const pids = leaf.members().pids.filter(pid => !tried.has(pid))
      if (pids.length === 0) break
      for (const pid of pids) {
        tried.add(pid)
        if (!movable(() => own.add(pid))) stays = true
      }
    }
    try {
      return leaf.remove()
    } catch (error) {
      const waits = codeOf(error) === 'EBUSY' && !stays && leaf.below().length === 0
      if (!waits || performance.now() - began > patienceMs) throw error
    }
    await sleep(1)
  }
}

/** False: it stays where it is. One that is ending does not. */
function movable(move: () => void): boolean {
  try {
    move()
    return true
  } catch (error) {
    return codeOf(error) === 'ESRCH'
  }
}

/**
 * Empties `own` into `leaf` below it, and has it give the memory controller. If that fails, everything is back
 * where it was before it rejects.
 */
export async function settle(own: Room, leaf: Room, patienceMs = PATIENCE_MS): Promise<Settled> {
  const began = performance.now()
  leaf.make()
  try {
    for (;;) {
      const tried = new Set<number>()
      while (moveOnce(own, leaf, tried) > 0) {
        if (performance.now() - began > patienceMs) throw tooManyForks(own)
      }
      try {
        own.give()
        break
      } catch (error) {
        // One more was forked in between, or one is not quite gone.
        if (codeOf(error) !== 'EBUSY') throw error
        if (performance.now() - began > patienceMs) throw tooManyForks(own, error)
      }
      await sleep(1)
    }
  } catch (error) {
    await moveBack(own, leaf, patienceMs).catch(() => {})
    throw error
  }
  return {
    async undo() {
      if (own.below().some(name => name !== leaf.name)) return
      try {
        own.take()
        await moveBack(own, leaf, patienceMs)
      } catch {}
    },
  }
}

function tooManyForks(own: Room, cause?: unknown): OomError {
  const text = `processes of '${own.path}' fork faster than they can be moved into a group below it; all are back where they were`
  return new OomError('ERR_GROUP_OCCUPIED', text, { path: own.path, cause })
}
