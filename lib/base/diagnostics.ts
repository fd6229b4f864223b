// What an operator can observe without touching the program: diagnostics channels
// (node:diagnostics_channel) and NODE_DEBUG=cgroup-oom.
import { channel } from 'node:diagnostics_channel'
import { debuglog } from 'node:util'
import type { OomEvent } from '../../types/watch.js'

export const debug = debuglog('cgroup-oom')

const events = channel('cgroup-oom:event')

/** Each event of each watch, when it reaches JavaScript; a copy, since events that wait are joined. */
export function publishEvent(event: OomEvent): void {
  if (events.hasSubscribers) events.publish({ ...event })
  if (debug.enabled) debug('%j', { ...event, at: String(event.at) })
}
