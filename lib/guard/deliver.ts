// Passes the records of episodes, from the sentinel or a simulated group, on to their guard.
import { constants } from 'node:os'
import { errnoName } from '../base/errors.js'
import type { EpisodeRecord, StepRecord } from '../native/records.js'
import type { Step } from './backend.js'
import type { Guard } from './guard.js'

/** 'SIGTERM' for 15. */
export function signalName(number: number): NodeJS.Signals {
  const names = Object.entries(constants.signals) as [NodeJS.Signals, number][]
  return names.find(([, n]) => n === number)![0]
}

// Actions whose records have the processes that were sent a signal.
const SIGNALLING: readonly string[] = ['signal', 'kill-largest', 'kill-newest', 'kill-group']

export function stepOf(record: StepRecord): Step {
  const { by, action, at, errno, signal, dryRun } = record
  const code = record.code ?? (errno === 0 ? undefined : errnoName(errno))
  return {
    by,
    report: {
      action,
      at,
      errno,
      ...(code === undefined ? {} : { code }),
      killed: [],
      ...(SIGNALLING.includes(action) && signal !== 0 ? { signal: signalName(signal) } : {}),
      dryRun,
    },
  }
}

/** `pathOf`: of a record's group. */
export function deliver(
  guard: Guard,
  record: EpisodeRecord,
  pathOf: (sub: number) => string,
): void {
  switch (record.kind) {
    case 'begin': {
      const { sub, episode, reason, at: startedAt, deadline, usage, limit, missed } = record
      const group = pathOf(sub)
      guard.started({ sub, episode, reason, group, startedAt, deadline, usage, limit, missed })
      break
    }
    case 'step':
      guard.stepped(record, stepOf(record))
      break
    case 'pids':
      guard.killed(record, record.pids)
      break
    case 'end':
      guard.ended(record)
      break
  }
}
