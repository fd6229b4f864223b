// The systemd unit around this process: found by the name of its group, described by systemctl, and the scope
// that systemd makes on demand. Everything here waits for a program of systemd's, never for long.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Look } from '../base/runtime.js'

export interface Unit {
  name: string
  manager: 'system' | 'user'
  /** What is below it is its own; undefined: systemd did not answer. */
  delegate: boolean | undefined
  /** What becomes of it when the kernel kills one of its processes. */
  oomPolicy: string | undefined
  slice: string | undefined
  /** The manager that would be asked for a scope can be. */
  reachable: boolean
}

const PATIENCE_MS = 5000

/** The innermost unit in a path of groups: of the user's manager below user@UID.service. */
export function unitIn(path: string): Pick<Unit, 'name' | 'manager'> | undefined {
  const parts = path.split('/')
  const at = parts.findLastIndex(part => /\.(service|scope)$/.test(part))
  if (at < 0) return undefined
  const manager = parts.findIndex(part => /^user@\d+\.service$/.test(part))
  return { name: parts[at]!, manager: manager >= 0 && manager < at ? 'user' : 'system' }
}

/** The answer of `systemctl show`. */
export function propertiesOf(text: string): Pick<Unit, 'delegate' | 'oomPolicy' | 'slice'> {
  const of = (name: string): string | undefined => new RegExp(`^${name}=(.+)$`, 'm').exec(text)?.[1]
  const delegate = of('Delegate')
  return {
    delegate: delegate === undefined ? undefined : delegate === 'yes',
    oomPolicy: of('OOMPolicy'),
    slice: of('Slice'),
  }
}

const run = promisify(execFile)
const bounded = { timeout: PATIENCE_MS, encoding: 'utf8', killSignal: 'SIGKILL' } as const

/** The path of this process's group within the hierarchy: systemd's own, or v2's. */
function ownPath({ read }: Look): string {
  const groups = read('/proc/self/cgroup') ?? ''
  return (/^\d+:name=systemd:(.*)$/m.exec(groups) ?? /^0::(.*)$/m.exec(groups))?.[1] ?? ''
}

/** Who is asked for a scope: root asks the machine's manager, a user its own. */
export const managerFor = (unit: Pick<Unit, 'manager'>, uid: number): Unit['manager'] =>
  uid === 0 && unit.manager === 'system' ? 'system' : 'user'

/** Where a user's bus is; the variable is missing in what sudo or cron have started. */
export const runtimeDirectory = (env: NodeJS.ProcessEnv, uid: number): string =>
  env['XDG_RUNTIME_DIR'] ?? `/run/user/${uid}`

function isReachable({ exists, env }: Look, unit: Pick<Unit, 'manager'>, uid: number): boolean {
  return managerFor(unit, uid) === 'system'
    ? exists('/run/dbus/system_bus_socket')
    : env['DBUS_SESSION_BUS_ADDRESS'] !== undefined || exists(`${runtimeDirectory(env, uid)}/bus`)
}

/** Undefined where systemd does not manage this process. */
export async function unitOf(look: Look, uid: number): Promise<Unit | undefined> {
  if (!look.exists('/run/systemd/system')) return undefined
  const found = unitIn(ownPath(look))
  if (found === undefined) return undefined
  const args = [`--${found.manager}`, 'show', '-p', 'Delegate,OOMPolicy,Slice', '--', found.name]
  const answer = await run('systemctl', args, bounded).catch(() => ({ stdout: '' }))
  return { ...found, ...propertiesOf(answer.stdout), reachable: isReachable(look, found, uid) }
}
