// Runs a command with child_process.spawn and with spawn() in a group, and records what a caller
// can see of each: the events in order, the streams, the properties, what was thrown.
import * as child_process from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { MemoryGroup } from '../../lib/group/memory-group.js'
import { spawn } from '../../lib/spawn/spawn.js'

export interface Seen {
  thrown?: unknown
  events: unknown[]
  output: string[]
  spawnfile?: string
  spawnargs?: string[]
  stdio?: (string | null)[]
  /** Whether there was a pid when spawn() returned. */
  pid?: boolean
  exitCode?: number | null
  signalCode?: string | null
}

type Act = (child: ChildProcess) => void

export function errorShape(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  return { ...error, name: error.name, message: error.message }
}

async function record(start: () => ChildProcess, act?: Act): Promise<Seen> {
  const seen: Seen = { events: [], output: [] }
  let child: ChildProcess
  try {
    child = start()
  } catch (error) {
    return { ...seen, thrown: errorShape(error) }
  }
  seen.pid = child.pid !== undefined
  seen.stdio = Array.from(child.stdio, s => (s ? s.constructor.name : null))
  const closed = new Promise<void>(resolve => child.on('close', () => resolve()))
  for (const event of ['spawn', 'exit', 'close', 'error', 'message', 'disconnect']) {
    child.on(event, (...args: unknown[]) => {
      seen.events.push([event, ...args.filter(a => a !== undefined).map(errorShape)])
    })
  }
  child.stdio.forEach((stream, i) => {
    if (!stream || i === 0) return
    seen.output[i] = ''
    stream.on('data', data => (seen.output[i] += String(data)))
  })
  act?.(child)
  await closed
  const { spawnfile, spawnargs, exitCode, signalCode } = child
  return { ...seen, spawnfile, spawnargs, exitCode, signalCode }
}

/** What child_process.spawn shows, and what spawn() does; `act` is done to each child. */
export async function sideBySide(
  group: MemoryGroup,
  command: string,
  args: string[],
  options: SpawnOptions | (() => SpawnOptions) = {},
  act?: Act,
): Promise<[node: Seen, ours: Seen]> {
  const make = typeof options === 'function' ? options : () => options
  return [
    await record(() => child_process.spawn(command, args, make()), act),
    await record(() => spawn(command, args, { ...make(), group }), act),
  ]
}
