// Early warnings: usage thresholds and memory pressure, each an async iterator of its own kind.
import type { Bytes } from '../../types/common.js'
import type {
  EventIterator,
  PressureEvent,
  PressureOptions,
  StallPressureOptions,
  SubscriptionOptions,
  UsageEvent,
} from '../../types/watch.js'
import {
  abortSignal,
  integer,
  invalidType,
  invalidValue,
  oneOf,
  options as objectOf,
  outOfRange,
} from '../base/args.js'
import { bytes } from '../base/bytes.js'
import { fromNative } from '../base/errors.js'
import { binding } from '../native/addon.js'
import { handleOf, type MemoryGroup } from '../group/memory-group.js'
import type { NativeRecord, SignalHandle } from '../native/events.js'
import { Signals } from './signal-iterator.js'

function native(group: MemoryGroup, make: () => SignalHandle): SignalHandle {
  try {
    return make()
  } catch (error) {
    throw fromNative(error, group.path)
  }
}

/** {@link MemoryGroup.watchUsage} */
export function watchUsage(
  group: MemoryGroup,
  size: Bytes,
  options?: SubscriptionOptions,
): EventIterator<UsageEvent> {
  const threshold = bytes('bytes', size)
  const { signal } = objectOf('options', options)
  const handle = handleOf(group)
  return new Signals<UsageEvent>(
    abortSignal('options.signal', signal),
    target =>
      native(group, () => new (binding().Signal)(target, 'usage', handle, String(threshold))),
    ({ at, count, a, detail }) => ({
      type: 'usage',
      group: group.path,
      at,
      count,
      usage: Number(a),
      threshold,
      above: detail !== 0,
    }),
  )
}

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
  const event = ({ at, count }: NativeRecord) =>
    ({ type: 'pressure', group: group.path, at, count }) as const
  const { level: asLevel, kind: asKind } = options as { level?: unknown; kind?: unknown }
  if (asLevel !== undefined && asKind !== undefined) {
    throw invalidValue('options.kind', "must not be given together with 'level'", asKind)
  }
  if ('level' in options && asLevel !== undefined) {
    const level = oneOf('options.level', options.level, LEVELS)
    const mode = oneOf('options.mode', options.mode, MODES, 'default')
    const handle = handleOf(group)
    return new Signals<PressureEvent>(
      signal,
      target =>
        native(group, () => new (binding().Signal)(target, 'level', handle, `${level},${mode}`)),
      record => ({ ...event(record), level }),
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
  return new Signals<PressureEvent>(
    signal,
    target =>
      native(
        group,
        () =>
          new (binding().Signal)(
            target,
            'psi',
            handle,
            kind === 'full',
            Math.floor(stallMs * 1000),
            windowMs * 1000,
          ),
      ),
    record => ({ ...event(record), kind, totalUs: Number(record.a) }),
  )
}
