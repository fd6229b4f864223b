// The native handle behind a group: found by the brand of its object, or opened by path. A leaf: watches and
// guards, which MemoryGroup makes, need no more of a group than this.
import type { MemoryGroup } from '../../types/group.js'
import { invalidType } from '../base/args.js'
import { GROUP, hasBrand } from '../base/brand.js'
import { fromNative, OomError } from '../base/errors.js'
import { VERSION } from '../base/version.js'
import { binding } from '../native/addon.js'
import type { GroupHandle } from '../native/group.js'
import { packageRoot } from '../native/load.js'
import { absoluteGroupPath } from './hierarchy.js'

/** What a group shows to another copy of this package. */
export interface Origin {
  handle: GroupHandle
  version: string
  directory: string
}

/** A MemoryGroup, whichever copy of this package has made it. */
interface Branded {
  /** Throws ERR_CLOSED. */
  [GROUP](): Origin
}

const isBranded = (value: unknown): value is Branded => hasBrand(value, GROUP)

/**
 * The native handle of an open group, for the package's own modules, even if another copy of them has made
 * the group; throws ERR_CLOSED, or ERR_OTHER_COPY where that copy has an addon of its own.
 */
export function handleOf(group: MemoryGroup, name = 'group'): GroupHandle {
  if (!isBranded(group)) throw invalidType(name, 'an instance of MemoryGroup', group)
  const { handle, version, directory } = group[GROUP]()
  if (binding().isGroupHandle(handle)) return handle
  throw new OomError(
    'ERR_OTHER_COPY',
    `the group '${group.path}' is one of another installation of cgroup-oom, version ${version} in '${directory}', which cannot be used with version ${VERSION} in '${packageRoot()}': install one only (npm ls cgroup-oom, npm dedupe)`,
    { path: group.path },
  )
}

/** Another handle of the same group: closing one leaves the other open. */
export function copyOf(handle: GroupHandle): GroupHandle {
  return handle.copy(new (binding().GroupHandle)())
}

/** A handle that `use` has opened at the path (args.ts, groupPath), made absolute. */
export async function openHandle(
  path: string,
  use: (handle: GroupHandle, at: string) => Promise<void> = (handle, at) => handle.open(at),
): Promise<GroupHandle> {
  const at = await absoluteGroupPath(path)
  return filled(at, handle => use(handle, at))
}

/** A handle that `use` has made stand for the group at an absolute path. */
export async function filled(
  at: string,
  use: (handle: GroupHandle) => Promise<void>,
): Promise<GroupHandle> {
  const handle = new (binding().GroupHandle)()
  try {
    await use(handle)
  } catch (error) {
    throw fromNative(error, at)
  }
  return handle
}
