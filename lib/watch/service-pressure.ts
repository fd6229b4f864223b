// systemd's memory pressure protocol: where the service manager wants a process to listen.
import { isAbsolute } from 'node:path'
import type { EventIterator, ServicePressureEvent, SubscriptionOptions } from '../../types/watch.js'
import { abortSignal, options as objectOf } from '../base/args.js'
import { ownError } from '../base/errors.js'
import { binding } from '../native/addon.js'
import { Signals } from './signal-iterator.js'

const OFF = '/dev/null'
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** The stall that a PSI trigger asks for; another receiver's data has none. */
function trigger(data: Buffer): { full: boolean; stallUs: number } {
  const [, kind, stallUs] = /^(some|full) +(\d+) +\d+/.exec(data.toString('latin1')) ?? []
  return { full: kind === 'full', stallUs: Number(stallUs ?? 0) }
}

/**
 * Reports when the service manager finds this process's service short of memory (systemd 254,
 * `MemoryPressureWatch=`, `MemoryPressureThresholdSec=`): free caches, end idle workers. By
 * `$MEMORY_PRESSURE_WATCH` and `$MEMORY_PRESSURE_WRITE`: <https://systemd.io/PRESSURE/>.
 *
 * @returns undefined where no pressure events are requested (the variable is not set) or wanted (`/dev/null`)
 * @throws ERR_PRESSURE_WATCH for variables that do not keep to the protocol; an errno for a file
 * that cannot be opened, or a trigger that the kernel refuses
 */
export function watchServicePressure(
  options?: SubscriptionOptions,
): EventIterator<ServicePressureEvent> | undefined {
  const signal = abortSignal('options.signal', objectOf('options', options).signal)
  const source = process.env.MEMORY_PRESSURE_WATCH
  const encoded = process.env.MEMORY_PRESSURE_WRITE ?? ''
  if (source === undefined || source === '' || source === OFF) return undefined
  if (!isAbsolute(source) || !BASE64.test(encoded)) throw ownError('ERR_PRESSURE_WATCH', source)
  const data = Buffer.from(encoded, 'base64')
  const { full, stallUs } = trigger(data)
  return new Signals(
    signal,
    source,
    'pressure',
    target => new (binding().Signal)(target, 'service', null, source, data, full, stallUs),
    ({ at, count }): ServicePressureEvent => ({ type: 'pressure', source, at, count }),
  )
}
