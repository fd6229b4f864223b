// MemoryGroup.watchPressure: levels of reclaim (v1) and PSI stalls.
import type { MemoryGroup } from '../../types/group.js'
import type {
  EventIterator,
  PressureEvent,
  PressureOptions,
  StallPressureOptions,
} from '../../types/watch.js'
import { abortSignal, integer, invalidType, invalidValue, oneOf, outOfRange } from '../base/args.js'
import { handleOf } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import type { PressureRecord } from '../native/records.js'
import { Signals } from './signal-iterator.js'

const LEVELS = ['low', 'medium', 'critical'] as const
const MODES = ['default', 'hierarchy', 'local'] as const
const KINDS = ['some', 'full'] as const

/** {@link MemoryGroup.watchPressure} */
export function watchPressure(
  group: MemoryGroup,
  options: PressureOptions,
): EventIterator<PressureEvent> {
  if (typeof options !== 'object' || options === null) {
    throw invalidType('options', 'of type object', options)
  }
  const signal = abortSignal('options.signal', options.signal)
  const event = ({ at, count }: PressureRecord) =>
    ({ type: 'pressure', group: group.path, at, count }) as const
  const { level: asLevel, kind: asKind } = options as { level?: unknown; kind?: unknown }
  if (asLevel !== undefined && asKind !== undefined) {
    throw invalidValue('options.kind', "must not be given together with 'level'", asKind)
  }
  if ('level' in options && asLevel !== undefined) {
    const level = oneOf('options.level', options.level, LEVELS)
    const mode = oneOf('options.mode', options.mode, MODES, 'default')
    const handle = handleOf(group)
    return new Signals(
      signal,
      group.path,
      'pressure',
      target => new (binding().Signal)(target, 'level', handle, `${level},${mode}`),
      (record): PressureEvent => ({ ...event(record), level }),
    )
  }
  const stalls = options as StallPressureOptions
  const kind = oneOf('options.kind', stalls.kind, KINDS)
  const windowMs = integer('options.windowMs', stalls.windowMs, 500, 10_000)
  const { stallMs } = stalls
  if (typeof stallMs !== 'number') throw invalidType('options.stallMs', 'of type number', stallMs)
  // The kernel counts in microseconds.
  if (!(stallMs >= 0.001 && stallMs <= windowMs)) {
    throw outOfRange('options.stallMs', `> 0 && <= windowMs (${windowMs})`, stallMs)
  }
  const handle = handleOf(group)
  return new Signals(
    signal,
    group.path,
    'pressure',
    target =>
      new (binding().Signal)(
        target,
        'psi',
        handle,
        kind === 'full',
        Math.floor(stallMs * 1000),
        windowMs * 1000,
      ),
    (record): PressureEvent => ({
      ...event(record),
      kind,
      totalUs: record.totalUs,
      sampled: record.sampled,
    }),
  )
}
