// registerEvent: cgroup v1's cgroup.event_control. Kernel Documentation/admin-guide/cgroup-v1/
// memory.rst, sections 9 (thresholds), 10 (OOM) and 11 (pressure).
import { isAbsolute, join, normalize } from 'node:path'
import type { MemoryGroup as Group } from '../../types/group.js'
import { groupPath, integer, invalidType, invalidValue } from '../base/args.js'
import { errnoName, fromNative, OomError, type NativeFailure } from '../base/errors.js'
import { MemoryGroup } from '../group/memory-group.js'
import { handleOf } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import type { GroupHandle } from '../native/group.js'
import { EventFd } from './event-fd.js'

const CONTROL = 'cgroup.event_control'

/** What the native side takes: the group's handle, or its directory. */
function target(group: unknown): { group: GroupHandle | string; path: string } {
  if (group instanceof MemoryGroup) return { group: handleOf(group), path: group.path }
  if (typeof group !== 'string') {
    throw invalidType('group', 'a MemoryGroup or an absolute directory path', group)
  }
  const path = normalize(groupPath('group', group))
  if (!isAbsolute(path)) throw invalidValue('group', 'must be an absolute path', group)
  return { group: path, path }
}

function fileName(file: unknown): string {
  if (typeof file !== 'string') throw invalidType('file', 'of type string', file)
  if (file === '' || file === '.' || file === '..' || /[/\0]/.test(file)) {
    throw invalidValue('file', 'must be the name of a control file', file)
  }
  return file
}

function argumentText(args: unknown): string {
  if (args === undefined) return ''
  if (typeof args === 'bigint' && args >= 0n && args < 2n ** 63n) return String(args)
  if (typeof args === 'number') return String(integer('args', args, 0, Number.MAX_SAFE_INTEGER))
  if (typeof args !== 'string') throw invalidType('args', 'of type string, number or bigint', args)
  if (!/^[\x20-\x7e]{0,64}$/.test(args)) {
    throw invalidValue('args', 'must be at most 64 printable characters', args)
  }
  return args
}

/** What the kernel means by an errno of the write to cgroup.event_control. */
const WRITE: Record<string, string> = {
  EINVAL: 'the file gives no notifications, or does not understand the arguments',
  EOPNOTSUPP: 'kernels with PREEMPT_RT have no cgroup v1 notifications',
}

/**
 * Has an eventfd signalled: `cgroup.event_control` of a cgroup v1 memory group. The control files
 * are closed again afterwards; the registration lasts until the EventFd is closed or the group is
 * removed, which signals the eventfd once more.
 *
 * | file | args | signalled |
 * | --- | --- | --- |
 * | `memory.oom_control` | none | the group, or one above it, is out of memory |
 * | `memory.usage_in_bytes`, `memory.memsw.usage_in_bytes` | bytes | usage crosses it, up or down |
 * | `memory.pressure_level` | `'low'`, `'medium'`, `'critical'`, with `',local'` or `',hierarchy'` | reclaim at that level |
 *
 * @param group a MemoryGroup, or the absolute path of its directory (no `..`, no symbolic links).
 * @param args sizes in plain bytes.
 *
 * Rejects with OomError `ENOENT`: no such group or file; `EINVAL`: the file gives no notifications or
 * the arguments are wrong; `EOPNOTSUPP`: a kernel with PREEMPT_RT; `ERR_NOT_A_MEMORY_CGROUP`;
 * `ERR_CGROUP_UNSUPPORTED`: a cgroup v2 group, or no native addon here; `ERR_CLOSED`.
 */
export async function registerEvent(
  group: Group | string,
  file: string,
  eventFd: EventFd,
  args?: string | number | bigint,
): Promise<void> {
  const { group: native, path } = target(group)
  const name = fileName(file)
  if (!(eventFd instanceof EventFd)) throw invalidType('eventFd', 'an instance of EventFd', eventFd)
  const text = argumentText(args)
  const { fd } = eventFd
  try {
    binding().registerEvent(native, name, fd, text)
  } catch (error) {
    const { errno, syscall } = error as NativeFailure
    const code = typeof errno === 'number' ? errnoName(errno) : ''
    const reason = syscall === 'write' ? WRITE[code] : undefined
    if (reason === undefined) throw fromNative(error, path)
    const control = join(path, CONTROL)
    throw new OomError(code, `${code}: ${reason}, write '${control}' for ${name}`, {
      errno,
      syscall,
      path: control,
    })
  }
}
