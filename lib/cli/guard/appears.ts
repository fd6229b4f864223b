// Whether a group's directory is there, without asking again and again: inotify(7) on the nearest directory above
// that is there. For one that is waited for a look once a second, too: it also finds it where inotify is used up or
// a directory above has been replaced.
import { existsSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { throwIfAborted } from '../../base/queue.js'

const POLL_MS = 1000

function nearestAbove(path: string): string {
  let above = dirname(path)
  while (above !== '/' && !existsSync(above)) above = dirname(above)
  return above
}

/**
 * Resolves when something has happened in the directory, when the signal aborts, or when `pollMs` are over. `now`:
 * whether it has happened before the watch was there.
 */
function happening(
  directory: string,
  now: () => boolean,
  signal: AbortSignal,
  pollMs?: number,
): Promise<void> {
  return new Promise(resolve => {
    const timer = pollMs === undefined ? undefined : setTimeout(done, pollMs)
    let watcher: ReturnType<typeof watch> | undefined
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      watcher?.close()
      resolve()
    }
    signal.addEventListener('abort', done, { once: true })
    try {
      watcher = watch(directory, type => {
        // Writes to the directory's files are 'change'.
        if (type === 'rename') done()
      })
      watcher.on('error', () => {})
    } catch {
      // ENOSPC, EMFILE, or it is gone: the timer goes on, or the guard's own notification comes.
    }
    if (signal.aborted || now()) done()
  })
}

/** Resolves when `path` exists; rejects with an AbortError when the signal aborts. */
export async function appears(path: string, signal: AbortSignal): Promise<void> {
  const there = () => existsSync(path)
  for (;;) {
    throwIfAborted(signal)
    if (there()) return
    const above = nearestAbove(path)
    // A directory between that one and the path may be made meanwhile, too.
    await happening(above, () => there() || nearestAbove(path) !== above, signal, POLL_MS)
  }
}

/** 'device:inode', as GroupHandle.identity; undefined where nothing is. */
function identityOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

/** Resolves when `path` is no longer that directory, or when the signal aborts. */
export async function vanishes(path: string, identity: string, signal: AbortSignal): Promise<void> {
  const gone = () => identityOf(path) !== identity
  while (!signal.aborted && !gone()) await happening(dirname(path), gone, signal)
}
