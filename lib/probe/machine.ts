// What probe() looks at, and the only way it looks: nothing here changes anything. Tests put a
// machine of their own in its place.
import { accessSync, constants, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { errnoName } from '../errors.js'
import { nativeFile, tryBinding } from '../native/load.js'
import type { NativeScope } from '../native/lock.js'

export interface Machine {
  platform: NodeJS.Platform
  arch: string
  kernel: string
  uid: number
  /** Why there is no addon, or undefined. */
  addon: Error | undefined
  /** The text of a file, or undefined. */
  read(path: string): string | undefined
  /** access(2): undefined, or the errno's name. */
  access(path: string, how: 'exists' | 'read' | 'write' | 'execute'): string | undefined
  nativeFile(name: string): string | undefined
  /** 'ENOSYS' and the like, or undefined. */
  syscalls(): Record<'pidfd' | 'mrelease' | 'inotify', string | undefined>
  /** What locking a scope takes, and whether the kernel allows it. */
  locking(scope: NativeScope): { bytes: number; allowed: boolean }
}

const HOW = {
  exists: constants.F_OK,
  read: constants.R_OK,
  write: constants.W_OK,
  execute: constants.X_OK,
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
    addon: found instanceof Error ? found : undefined,
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
