// All that probe() reads of the machine; nothing here changes anything. Tests put a machine of their own in
// its place.
import { accessSync, constants, readFileSync } from 'node:fs'
import { release } from 'node:os'
import type { LockScope } from '../../types/protect.js'
import { errnoName } from '../base/errors.js'
import type { Fault } from '../native/elf.js'
import type { Hierarchies } from '../native/group.js'
import { LoadFailure, nativeFile, tryBinding } from '../native/load.js'
import { executionFault } from '../native/program.js'

export interface Machine {
  platform: NodeJS.Platform
  arch: string
  kernel: string
  uid: number
  /** Why there is no addon, or undefined. */
  addon: { reason: string; remedy: string } | undefined
  /** Where the hierarchies are and where this process is, as the core sees it. */
  hierarchies(): Hierarchies
  /** The text of a file, or undefined. */
  read(path: string): string | undefined
  /** access(2): undefined, or the errno's name. */
  access(path: string, how: 'exists' | 'read' | 'write' | 'execute'): string | undefined
  nativeFile(name: string): string | undefined
  /** Why a native program cannot be executed, or undefined. */
  fault(file: string): Fault | undefined
  /** 'ENOSYS' and the like, or undefined. */
  syscalls(): Record<'pidfd' | 'mrelease' | 'inotify', string | undefined>
  /** What locking a scope takes, and whether the kernel allows it. */
  locking(scope: LockScope): { bytes: number; allowed: boolean }
}

const HOW = {
  exists: constants.F_OK,
  read: constants.R_OK,
  write: constants.W_OK,
  execute: constants.X_OK,
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
    read(path) {
      try {
        return readFileSync(path, 'utf8')
      } catch {
        return undefined
      }
    },
    access(path, how) {
      try {
        accessSync(path, HOW[how])
        return undefined
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? 'EIO'
      }
    },
    nativeFile,
    fault: executionFault,
    syscalls() {
      const { pidfd, mrelease, inotify } = native!.probeSyscalls()
      return { pidfd: name(pidfd), mrelease: name(mrelease), inotify: name(inotify) }
    },
    locking(scope) {
      const bytes = native!.scopeBytes(scope)
      return { bytes, allowed: native!.mayLock(bytes) === 0 }
    },
  }
}
