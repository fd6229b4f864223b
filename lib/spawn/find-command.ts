// Searches for a command as execvp(3) will: one that is not there is reported before anything has been
// started, with no pid, as child_process.spawn reports it. Only a forecast: what starts is what the
// launcher's own execvp finds, and the launcher reports what this could not foresee.
import type { SpawnOptions } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The errors that child_process.spawn emits; it throws all others. */
export type Missing = 'ENOENT' | 'EACCES'

// Without PATH: glibc's list and musl's, which is the longer one.
const DEFAULT_PATH = '/usr/local/bin:/bin:/usr/bin'

// Whether the file can be executed: undefined, or the error's code.
function tryFile(file: string, otherUser: boolean): string | undefined {
  try {
    const stat = statSync(file)
    if (!stat.isFile() || (stat.mode & 0o111) === 0) return 'EACCES'
    if (!otherUser) accessSync(file, constants.X_OK)
    return undefined
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // The user that the command is started as may see what this user may not.
    return code === 'EACCES' && otherUser ? undefined : code
  }
}

function directory(cwd: unknown): string {
  return cwd instanceof URL ? fileURLToPath(cwd) : typeof cwd === 'string' ? cwd : ''
}

/** Why the command cannot be started, as far as that can be foreseen. */
export function findCommand(
  command: string,
  options: Pick<SpawnOptions, 'cwd' | 'env'>,
  otherUser: boolean,
): Missing | undefined {
  const cwd = directory(options.cwd)
  const at = (file: string): string => (file.startsWith('/') ? file : join(cwd, file))
  if (command.includes('/')) return known(tryFile(at(command), otherUser))

  const path = (options.env ?? process.env).PATH
  let refused = false
  let last: string | undefined
  for (const dir of String(path ?? DEFAULT_PATH).split(':')) {
    last = tryFile(at(dir === '' ? command : `${dir}/${command}`), otherUser)
    if (last === 'EACCES') refused = true
    else if (last !== 'ENOENT' && last !== 'ENOTDIR') return undefined
  }
  return refused ? 'EACCES' : known(last)
}

function known(code: string | undefined): Missing | undefined {
  return code === 'ENOENT' || code === 'EACCES' ? code : undefined
}
