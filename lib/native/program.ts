// The programs beside the addon, oom-launcher and oom-guardian: where they are, and whether they can
// be executed. A checkout, an image or an artifact store may have taken the execute permission away
// or broken them; the error then names the package's own file and what to do. They are used as they
// are: no permission is changed and no copy is made, since a mount with noexec or a removed
// permission may be a policy of this machine.
import { accessSync, constants, statSync } from 'node:fs'
import { constants as os } from 'node:os'
import { OomError } from '../base/errors.js'
import { elfFault, type Fault } from './elf.js'
import { missingFiles, nativeFile } from './load.js'

export type Program = 'oom-launcher' | 'oom-guardian'

// The programs whose contents have been checked.
const whole = new Set<string>()

const quoted = (path: string): string => `'${path.replaceAll("'", "'\\''")}'`

function notExecutable(file: string): Fault {
  const { mode } = statSync(file)
  const code = 'EACCES'
  return (mode & 0o111) === 0o111
    ? {
        code,
        reason: 'its file system is mounted noexec, or this user may not execute it',
        remedy: 'mount it with exec, or install the package on another file system',
      }
    : {
        code,
        reason: 'it has lost its execute permission (COPY --chmod, an artifact store, an archive)',
        remedy: `chmod +x ${quoted(file)}, or keep the modes of the files where they are copied`,
      }
}

/** Why the file cannot be executed; undefined: nothing is in the way. */
export function executionFault(file: string): Fault | undefined {
  try {
    accessSync(file, constants.X_OK)
  } catch {
    return notExecutable(file)
  }
  if (whole.has(file)) return undefined
  const fault = elfFault(file)
  if (fault === undefined) whole.add(file)
  return fault
}

const MISSING: Record<Program, string> = {
  'oom-launcher': 'ERR_LAUNCHER_MISSING',
  'oom-guardian': 'ERR_GUARDIAN_MISSING',
}

/**
 * The path of a program that can be executed.
 *
 * @throws OomError ERR_GUARDIAN_MISSING, ERR_LAUNCHER_MISSING; EACCES, ENOEXEC or ENOENT with its path
 */
export function programFile(name: Program): string {
  const file = nativeFile(name)
  if (file === undefined) throw new OomError(MISSING[name], `${name}: ${missingFiles().message}`)
  const fault = executionFault(file)
  if (fault === undefined) return file
  const { code, reason, remedy } = fault
  throw new OomError(
    code,
    `${code}: the package's own program '${file}' cannot be executed: ${reason} (${remedy})`,
    { errno: -os.errno[code], syscall: 'execve', path: file },
  )
}
