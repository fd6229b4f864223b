// The report of one machine: finds the hierarchy and asks every check. Pure over `Machine`.
import type { Capability, ProbeReport } from '../../types/probe.js'
import type { LockScope } from '../../types/protect.js'
import type { Mount } from '../native/group.js'
import { memlockReason } from '../protect/memlock.js'
import type { Unit } from '../place/unit.js'
import * as check from './checks.js'
import type { Machine } from './machine.js'
import * as where from './place.js'

type Checks = {
  [Field in keyof ProbeReport as ProbeReport[Field] extends Capability ? Field : never]: Capability
}

function locking(machine: Machine, scope: LockScope): Capability {
  const { bytes, allowed } = machine.locking(scope)
  const mib = `${(bytes / 1048576).toFixed(1)} MiB`
  const what = scope === 'oom-path' ? 'a guard' : `lockMemory({ scope: '${scope}' })`
  if (allowed) return check.yes(`${mib} can be locked, as ${what} needs`)
  const { reason, remedy } = memlockReason(what, bytes)
  return check.no(reason, remedy)
}

/** What is mounted, and which of it is the memory hierarchy. Without the addon nothing is known. */
function hierarchies(machine: Machine): {
  mounts: readonly Mount[]
  found: check.Found | undefined
} {
  if (machine.addon) return { mounts: [], found: undefined }
  try {
    const { mounts, memory, self } = machine.hierarchies()
    return { mounts, found: memory === null ? undefined : { mount: memory, self } }
  } catch {
    // There is no /proc.
    return { mounts: [], found: undefined }
  }
}

/** The mount with a group in it; the innermost, since mounts may lie below one another. */
function mountOf(mounts: readonly Mount[], group: string): Mount | undefined {
  const around = mounts.filter(({ path }) => group === path || group.startsWith(`${path}/`))
  return around.sort((a, b) => b.path.length - a.path.length)[0]
}

/** `unit`: of systemd, around this process (place/unit.ts). `group`: judged instead of this process's own. */
export function examine(machine: Machine, unit?: Unit, group?: string): ProbeReport {
  const { platform, arch, kernel } = machine
  const { mounts, found: own } = hierarchies(machine)
  const found =
    own === undefined || group === undefined
      ? own
      : { mount: mountOf(mounts, group) ?? own.mount, self: group }
  const attempt = (work: () => Capability): Capability => {
    if (machine.addon) {
      const { reason, remedy } = machine.addon
      return check.no(`the native addon is needed for it: ${reason}`, remedy)
    }
    try {
      return work()
    } catch (error) {
      return check.no(`it could not be found out: ${String(error)}`, 'report this')
    }
  }
  const controller = attempt(() => check.memory(machine, found, mounts))
  const withMemory = (work: (memory: check.Found) => Capability): Capability =>
    attempt(() => (found ? work(found) : { ...controller }))
  const signs = where.signsHere(machine, found, unit)
  const place = where.place(machine, signs, controller, unit)
  const bounds = where.bounds(machine, found, unit)
  const syscalls = machine.addon ? undefined : machine.syscalls()
  const checks: Checks = {
    addon: machine.addon ? attempt(() => controller) : check.yes('loaded'),
    memory: controller,
    writable: withMemory(memory => check.writable(machine, memory)),
    home: withMemory(() => where.home(signs!)),
    watch: withMemory(memory => check.watch(machine, memory)),
    guard: withMemory(memory => check.guard(machine, memory)),
    guardBySignals: withMemory(memory => check.guardBySignals(machine, memory)),
    guardian: attempt(() =>
      check.program(
        machine,
        'oom-guardian',
        'install the package again, or guard without it: guard({ guardian: false })',
      ),
    ),
    spawn: attempt(() => check.program(machine, 'oom-launcher', 'install the package again')),
    pressure: attempt(() => check.pressure(machine, found)),
    freeze: attempt(() => check.freeze(machine, found, mounts)),
    swap: withMemory(memory => check.swap(machine, memory)),
    lockOomPath: attempt(() => locking(machine, 'oom-path')),
    lockProcess: attempt(() => locking(machine, 'process')),
    protect: attempt(() => check.protect(machine)),
    pidfd: attempt(() => check.syscall(syscalls?.pidfd, 'pidfd_open(2)', '5.3')),
    mrelease: attempt(() => check.syscall(syscalls?.mrelease, 'process_mrelease(2)', '5.15')),
    inotify: attempt(() => check.inotify(syscalls?.inotify)),
  }
  return {
    platform,
    arch,
    kernel,
    version: found?.mount.version ?? null,
    mount: found?.mount.path ?? null,
    self: own?.self ?? null,
    group: found?.self ?? null,
    place,
    bounds,
    // Notes about this process are for its own group.
    notes: where
      .notes(bounds, place)
      .filter(({ about }) => found?.self === own?.self || about === 'oom-group'),
    ...checks,
  }
}
