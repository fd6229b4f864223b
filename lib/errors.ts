// Every failure is an OomError with a stable code. Those of a system call are made from one table.
import { getSystemErrorMap } from 'node:util'
import type { NativeFailure } from './native/binding.js'
import { tryBinding } from './native/load.js'
import type { Binding } from './native/binding.js'

export interface OomErrorDetails {
  /** Negative, as Node's own system errors have it. */
  errno?: number | undefined
  syscall?: string | undefined
  path?: string | undefined
  cause?: unknown
}

/** Any failure of this package but a bad argument, which is a TypeError or RangeError. */
export class OomError extends Error {
  override readonly name = 'OomError'
  readonly code: string
  declare readonly errno?: number
  declare readonly syscall?: string
  declare readonly path?: string

  constructor(code: string, message: string, details: OomErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    const { errno, syscall, path } = details
    Object.assign(
      this,
      errno === undefined ? {} : { errno },
      syscall === undefined ? {} : { syscall },
      path === undefined ? {} : { path },
    )
  }
}

/** 'ENOENT' for -2. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(errno)?.[0] ?? `E${-errno}`
}

// The remedy by errno and file (a prefix of the control file's name, '' for any).
const REMEDIES: readonly [code: string, file: string, text: string][] = [
  [
    'EBUSY',
    'memory.limit_in_bytes',
    'the group uses more than this and the kernel could not reclaim enough: free or kill first',
  ],
  ['EROFS', '', 'cgroupfs is mounted read-only, as in most containers: bind-mount it writable'],
  ['EACCES', '', 'the directory is not delegated to this user: run as root or have it delegated'],
  ['EPERM', '', 'a capability is missing: run as root'],
]

/** The remedy for a failure, where there is one. */
function remedy(code: string, file: string | undefined): string | undefined {
  return REMEDIES.find(([c, prefix]) => c === code && (file ?? '').startsWith(prefix))?.[2]
}

/** Makes the OomError of a native failure; `path` is what the call was about. */
export function fromNative(error: unknown, path?: string): unknown {
  if (!(error instanceof Error) || typeof (error as NativeFailure).errno !== 'number') return error
  const { errno, syscall, file } = error as NativeFailure
  const code = errnoName(errno)
  const where = path !== undefined && file !== undefined ? `${path}/${file}` : (path ?? file)
  const text = getSystemErrorMap().get(errno)?.[1] ?? 'unknown error'
  const help = remedy(code, file)
  const message = `${code}: ${text}, ${syscall ?? 'native'}${where === undefined ? '' : ` '${where}'`}`
  return new OomError(code, help === undefined ? message : `${message} (${help})`, {
    errno,
    syscall,
    path: where,
  })
}

/** The addon, or a throw of ERR_CGROUP_UNSUPPORTED. */
export function binding(): Binding {
  const found = tryBinding()
  if (found instanceof Error) {
    throw new OomError(
      'ERR_CGROUP_UNSUPPORTED',
      `cgroup-oom does not work here: ${found.message}`,
      {
        cause: found,
      },
    )
  }
  return found
}
