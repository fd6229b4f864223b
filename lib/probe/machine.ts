// All that probe() reads of the machine; nothing here changes anything. Tests put a machine of their own in
// its place.
import { readdirSync } from 'node:fs'
import { release } from 'node:os'
import { getHeapStatistics } from 'node:v8'
import type { LockScope } from '../../types/protect.js'
import { errnoName } from '../base/errors.js'
import type { Fault } from '../native/elf.js'
import type { Hierarchies } from '../native/group.js'
import { LoadFailure, nativeFile, tryBinding } from '../native/load.js'
import { executionFault } from '../native/program.js'
import { thisPlace } from '../place/look.js'
import type { PlaceLook } from '../place/signs.js'
import { FIRST_GUARD } from '../protect/memlock.js'

export interface Machine extends PlaceLook {
  platform: NodeJS.Platform
  arch: string
  kernel: string
  uid: number
  /** Why there is no addon, or undefined. */
  addon: { reason: string; remedy: string } | undefined
  /** Where the hierarchies are and where this process is, as the core sees it. */
  hierarchies(): Hierarchies
  nativeFile(name: string): string | undefined
  /** Why a native program cannot be executed, or undefined. */
  fault(file: string): Fault | undefined
  /** 'ENOSYS' and the like, or undefined. */
  syscalls(): Record<'pidfd' | 'mrelease' | 'inotify', string | undefined>
  /** What a guard locks, or what locking the scope takes; and whether the kernel allows it. */
  locking(scope: LockScope): { bytes: number; allowed: boolean }
  /** V8's limit of the heap, bytes. */
  heapLimit: number
  /** The children of all threads of this process; none where the kernel does not list them. */
  children(): number[]
}

function whyNot(error: Error): { reason: string; remedy: string } {
  return error instanceof LoadFailure
    ? { reason: error.reason, remedy: error.remedy }
    : { reason: error.message, remedy: 'install the package again' }
}

export function thisMachine(): Machine {
  const found = tryBinding()
  const native = found instanceof Error ? undefined : found
  const name = (errno: number): string | undefined => (errno === 0 ? undefined : errnoName(errno))
  return {
    platform: process.platform,
    arch: process.arch,
    kernel: process.platform === 'linux' ? release() : '',
    uid: process.geteuid?.() ?? -1,
    addon: found instanceof Error ? whyNot(found) : undefined,
    hierarchies: () => native!.hierarchies(),
    read: thisPlace.read,
    exists: thisPlace.exists,
    access: thisPlace.access,
    env: process.env,
    heapLimit: getHeapStatistics().heap_size_limit,
    children() {
      try {
        const tasks = readdirSync('/proc/self/task')
        const lists = tasks.map(tid => thisPlace.read(`/proc/self/task/${tid}/children`) ?? '')
        return lists.join(' ').split(/\s+/).filter(Boolean).map(Number)
      } catch {
        return []
      }
    },
    nativeFile,
    fault: executionFault,
    syscalls() {
      const { pidfd, mrelease, inotify } = native!.probeSyscalls()
      return { pidfd: name(pidfd), mrelease: name(mrelease), inotify: name(inotify) }
    },
    locking(scope) {
      const scoped = native!.scopeBytes(scope)
      const bytes = scope === 'oom-path' ? Math.max(scoped, FIRST_GUARD) : scoped
      return { bytes, allowed: native!.mayLock(bytes) === 0 }
    },
  }
}
