// Where memory groups are: the mount of the hierarchy with the memory controller, read from the kernel
// each time, since it may be mounted after the package was loaded.
import { join, normalize } from 'node:path'
import type { CgroupVersion } from '../../types/limits.js'
import { fromNative } from '../base/errors.js'
import { binding } from '../native/addon.js'

/** The mount of the memory hierarchy. Rejects with ERR_CGROUP_UNSUPPORTED where there is none. */
export async function memoryMount(): Promise<{ path: string; version: CgroupVersion }> {
  try {
    return await binding().memoryMount()
  } catch (error) {
    throw fromNative(error)
  }
}

/** A checked path (base/args.ts, groupPath) made absolute: relative ones begin at the mount. */
export async function absoluteGroupPath(path: string): Promise<string> {
  const whole = path.startsWith('/') ? normalize(path) : join((await memoryMount()).path, path)
  return whole.length > 1 && whole.endsWith('/') ? whole.slice(0, -1) : whole
}

/** Absolute path of the memory group that a process (0: this one) is in. */
export async function memoryGroupOf(pid: number): Promise<string> {
  try {
    return await binding().memoryGroupOf(pid)
  } catch (error) {
    throw fromNative(error, `/proc/${pid === 0 ? 'self' : pid}/cgroup`)
  }
}
