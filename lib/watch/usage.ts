// MemoryGroup.watchUsage: reports when usage crosses a threshold.
import type { UsageSize } from '../../types/common.js'
import type { MemoryGroup } from '../../types/group.js'
import type { EventIterator, SubscriptionOptions, UsageEvent } from '../../types/watch.js'
import { abortSignal, options as objectOf } from '../base/args.js'
import { usageThreshold } from '../base/bytes.js'
import { handleOf } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import { Signals } from './signal-iterator.js'

/** {@link MemoryGroup.watchUsage} */
export function watchUsage(
  group: MemoryGroup,
  size: UsageSize,
  options?: SubscriptionOptions,
): EventIterator<UsageEvent> {
  const { bytes, millionths } = usageThreshold('size', size)
  const { signal } = objectOf('options', options)
  const handle = handleOf(group)
  return new Signals(
    abortSignal('options.signal', signal),
    group.path,
    'usage',
    target => new (binding().Signal)(target, 'usage', handle, String(bytes), millionths),
    ({ at, count, usage, threshold, above }): UsageEvent => ({
      type: 'usage',
      group: group.path,
      at,
      count,
      usage,
      threshold,
      above,
    }),
  )
}
