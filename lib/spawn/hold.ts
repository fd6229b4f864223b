// Delays the events of a child until its launcher has become the command, or could not.
//
// Node.js announces the launcher's start and end, for it knows nothing of the command. Users of
// spawn() must see the command's: 'spawn' once it runs, and 'error' instead of 'spawn' and 'exit'
// when it never did. The order of events is kept, and the ChildProcess remains Node's own.
import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'

// What Node.js emits on a child; 'newListener' and the like pass.
const HELD = new Set<unknown>([
  'spawn',
  'exit',
  'close',
  'error',
  'message',
  'internalMessage',
  'disconnect',
])

export interface Held {
  /** The command runs (or has run): emits what was held, in order. */
  release(): void
  /** The command never ran: the child's end becomes this error, before 'close', as in Node.js. */
  fail(error: NodeJS.ErrnoException): void
  /** The same once it has ended by itself; after a signal the child's end stays as it is. */
  failUnlessKilled(error: NodeJS.ErrnoException): void
}

// The errno that Node.js itself uses for a command that it has not found, for failures without one.
const NO_ERRNO = -constants.errno.ENOENT

export function holdEvents(child: ChildProcess): Held {
  const original = Reflect.get(child, 'emit') as (...args: unknown[]) => boolean
  const held: unknown[][] = []
  let failure: NodeJS.ErrnoException | undefined
  let decided = false
  let ifEnded: NodeJS.ErrnoException | undefined

  const emit = function (this: ChildProcess, ...args: unknown[]): boolean {
    if (!HELD.has(args[0])) return Reflect.apply(original, this, args)
    held.push(args)
    judge()
    if (decided && held.length === 1) replay()
    return true
  }
  child.emit = emit as typeof child.emit

  // In the caller's tick; an event whose listener throws does not take the next ones with it.
  function replay(): void {
    let next: unknown[] | undefined
    try {
      while ((next = held[0]) !== undefined) {
        pass(next)
        held.shift()
      }
    } finally {
      if (next !== undefined) {
        held.shift()
        if (held.length > 0) process.nextTick(replay)
      }
      if (held.length === 0 && !failure && child.emit === emit) {
        delete (child as { emit?: unknown }).emit
      }
    }
  }

  function pass(args: unknown[]): void {
    if (failure) {
      const [event] = args
      // Node.js itself ends so when it could not start the command.
      if (event === 'exit' || event === 'close') {
        const exitCode = failure.errno ?? NO_ERRNO
        Object.assign(child, { exitCode, signalCode: null })
        args = event === 'exit' ? ['error', failure] : ['close', exitCode, null]
      } else if (event !== 'disconnect') {
        return
      }
    }
    Reflect.apply(original, child, args)
  }

  function decide(): void {
    decided = true
    if (held.length > 0 || !failure) replay()
  }

  function fail(error: NodeJS.ErrnoException): void {
    if (decided) return
    failure = error
    Object.assign(child, { pid: undefined })
    decide()
  }

  function judge(): void {
    const exit = held.find(([event]) => event === 'exit')
    if (decided || ifEnded === undefined || exit === undefined) return
    if (exit[1] === null) decide()
    else fail(ifEnded)
  }

  return {
    release() {
      if (!decided) decide()
    },
    fail,
    failUnlessKilled(error) {
      ifEnded = error
      judge()
    },
  }
}

/** Node.js has failed to start the child and is about to report that: this error replaces its own. */
export function replaceError(child: ChildProcess, error: NodeJS.ErrnoException): void {
  const original = Reflect.get(child, 'emit') as (...args: unknown[]) => boolean
  child.emit = function (this: ChildProcess, ...args: unknown[]): boolean {
    if (args[0] === 'error') {
      delete (child as { emit?: unknown }).emit
      Object.assign(child, { exitCode: error.errno ?? NO_ERRNO })
      args = ['error', error]
    }
    return Reflect.apply(original, this, args)
  } as typeof child.emit
}
