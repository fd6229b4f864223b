// Every failure is an OomError with a stable code; its message comes from error-table.ts.
import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import { brand, ERROR, isInstance } from './brand.js'
import { OWN, REMEDIES } from './error-table.js'
import { isReadOnly, thisLook, withSwitch } from './runtime.js'

/**
 * What the addon throws: with errno (negative), syscall and file. If it is no failed system call, it has a
 * code of native/core/sys/codes.h instead.
 */
export interface NativeFailure extends Error {
  errno: number
  code?: string
  syscall?: string
  file?: string
}

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

  static {
    brand(this.prototype, ERROR, true)
  }

  /** Also those of another copy of this package: ESM and CommonJS. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(this, OomError, ERROR, value)
  }

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

// errno 95 has two names. Node.js uses the one of sockets; the kernel and the manual pages of cgroups
// use the other one, which is the documented code.
const BY_KERNEL: Record<string, { name: string; text: string }> = {
  ENOTSUP: { name: 'EOPNOTSUPP', text: 'operation not supported' },
}

/** 'ENOENT' for -2. */
export function errnoName(errno: number): string {
  const name = getSystemErrorMap().get(errno)?.[0]
  if (name !== undefined) return BY_KERNEL[name]?.name ?? name
  // What Node.js has no text for: EDEADLK.
  return (
    Object.entries(constants.errno).find(([, number]) => number === -errno)?.[0] ?? `E${-errno}`
  )
}

/** 'no such file or directory' for -2. */
function errnoText(errno: number): string {
  const [name, text] = getSystemErrorMap().get(errno) ?? ['', 'unknown error']
  return BY_KERNEL[name]?.text ?? text
}

/** An error of one of the library's own codes, with the text that belongs to it. */
export function ownError(code: string, path?: string, file?: string): OomError {
  const advice = OWN[code]?.files?.[file ?? ''] ?? OWN[code] ?? { means: code }
  const text = advice.remedy === undefined ? advice.means : `${advice.means}: ${advice.remedy}`
  return new OomError(code, `${withSwitch(text)}${path === undefined ? '' : `: '${path}'`}`, {
    path,
  })
}

/**
 * The error for members in another PID namespace: their number or, where the kernel does not list them (v1),
 * the suspicion that there are some. With `busy` it stays that error, with this as the explanation.
 */
export function unseenMembers(path: string, count?: number, busy?: OomError): OomError {
  const who =
    count === undefined
      ? `'${path}' lists no member, but seems to have some: members in another PID namespace are not listed by cgroup v1 (memory that moved processes have left behind looks the same)`
      : `${count} ${count === 1 ? 'member' : 'members'} of '${path}' cannot be signalled from here: in another PID namespace`
  const text = `${who}; do it from the PID namespace that they were started from, such as the machine's own`
  return busy
    ? new OomError(busy.code, `${busy.message} (${text})`, busy)
    : new OomError('ERR_UNSEEN_MEMBERS', text, { path })
}

/** The remedy for a failure, where there is one. By number: one errno may have two names. */
function remedy(errno: number, file: string | undefined): string | undefined {
  const number = (code: string): number | undefined =>
    (constants.errno as Record<string, number>)[code]
  const rows = REMEDIES.filter(
    ([code, prefix]) => number(code) === -errno && (file ?? '').startsWith(prefix),
  )
  return rows.sort(([, a], [, b]) => b.length - a.length)[0]?.[2]
}

/** Makes the OomError of a native failure; `path` is what the call was about. */
export function fromNative(error: unknown, path?: string): unknown {
  if (!(error instanceof Error) || typeof (error as NativeFailure).errno !== 'number') return error
  // An OomError with an errno has been made from a native failure before.
  if (error instanceof OomError) return error
  const { errno, syscall, file, code: own } = error as NativeFailure
  if (own !== undefined) return ownError(own, path, file)
  const code = errnoName(errno)
  const inGroup = path !== undefined && file !== undefined && !file.startsWith('/')
  const where = inGroup ? `${path}/${file}` : file?.startsWith('/') ? file : (path ?? file)
  // Another user is refused for his rights first.
  const readOnly = errno === -constants.errno.EACCES && inGroup && isReadOnly(thisLook, path)
  const advice = remedy(readOnly ? -constants.errno.EROFS : errno, file ?? syscall)
  const help = advice === undefined ? undefined : withSwitch(advice)
  const message = `${code}: ${errnoText(errno)}, ${syscall ?? 'native'}${where === undefined ? '' : ` '${where}'`}`
  return new OomError(code, help === undefined ? message : `${message} (${help})`, {
    errno,
    syscall,
    path: where,
  })
}

/** As Node.js's own: name AbortError, code ABORT_ERR, the signal's reason as its cause. */
export class AbortError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'ABORT_ERR'
  constructor(cause?: unknown) {
    super('The operation was aborted', cause === undefined ? undefined : { cause })
  }
}
