// A transient scope of systemd with Delegate=yes for this process: asked for over the bus with busctl, since
// systemd-run cannot take a process that is running already.
//
// The process itself goes in, not a stand-in: a user may not move processes from its session into the user
// manager's tree (the nearest group above both is root's), only systemd does that for it, so that children could
// not be started in a scope without this process. Bound to the unit that the process comes from, where one manager
// has both: the scope is stopped with it, and in the same slice the same limits count.
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { memoryGroupOf } from '../handle/hierarchy.js'
import { PlainGroup } from './plain-group.js'
import { managerFor, runtimeDirectory, type Unit } from './unit.js'

const PATIENCE_MS = 5000
const run = promisify(execFile)

let made = 0

/** The arguments of busctl; `manager`: the one that is asked. */
export function scopeRequest(
  manager: Unit['manager'],
  name: string,
  pid: number,
  unit: Unit,
): string[] {
  const same = manager === unit.manager
  const properties = [
    ['Description', 's', 'groups of cgroup-oom'],
    ['Delegate', 'b', 'true'],
    ['CollectMode', 's', 'inactive-or-failed'],
    ['PIDs', 'au', '1', String(pid)],
    ...(same && unit.slice !== undefined ? [['Slice', 's', unit.slice]] : []),
    ...(same
      ? [
          ['BindsTo', 'as', '1', unit.name],
          ['After', 'as', '1', unit.name],
        ]
      : []),
  ]
  const head = [`--${manager}`, '--quiet', `--timeout=${PATIENCE_MS / 1000}`, 'call']
  const at = [
    'org.freedesktop.systemd1',
    '/org/freedesktop/systemd1',
    'org.freedesktop.systemd1.Manager',
  ]
  return [
    ...[...head, ...at, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', name, 'fail'],
    ...[String(properties.length), ...properties.flat(), '0'],
  ]
}

/** Resolves once this process is in the scope. */
export async function askForScope(unit: Unit): Promise<{ leave(): void }> {
  const before = new PlainGroup(await memoryGroupOf(0))
  const name = `cgroup-oom-${process.pid}-${made++}.scope`
  const uid = process.geteuid?.() ?? -1
  const manager = managerFor(unit, uid)
  let at: string
  try {
    await run('busctl', scopeRequest(manager, name, process.pid, unit), {
      timeout: PATIENCE_MS + 1000,
      encoding: 'utf8',
      env: { XDG_RUNTIME_DIR: runtimeDirectory(process.env, uid), ...process.env },
    })
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string }
    throw new Error(
      code === 'ENOENT' ? 'busctl is not installed' : stderr?.trim() || (error as Error).message,
      { cause: error },
    )
  }
  // The call answers when the job is queued.
  for (const began = performance.now(); ; await sleep(5)) {
    at = await memoryGroupOf(0)
    if (at.endsWith(`/${name}`)) break
    if (performance.now() - began > PATIENCE_MS) throw new Error(`${name} has not been started`)
  }
  return {
    leave() {
      // A user may not, if it came from its session; then the scope ends with its last process.
      try {
        for (const pid of new PlainGroup(at).members().pids) before.add(pid)
      } catch {}
    },
  }
}
