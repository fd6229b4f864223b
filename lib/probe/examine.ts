// The report of one machine: finds the hierarchy and asks every check. Pure over `Machine`.
import { dirname, join } from 'node:path'
import type { Capability, ProbeReport } from '../../types/probe.js'
import { memlockReason } from '../memlock.js'
import type { NativeScope } from '../native/lock.js'
import * as check from './checks.js'
import { cgroupMounts, ownGroup, type Mount } from './hierarchy.js'
import type { Machine } from './machine.js'

type Checks = {
  [Field in keyof ProbeReport as ProbeReport[Field] extends Capability ? Field : never]: Capability
}

/** The hierarchy with the memory controller: v1 where it is mounted, as on hybrid systems. */
function findMemory(machine: Machine, mounts: readonly Mount[]): check.Found | undefined {
  const mount =
    mounts.find(one => one.controllers.includes('memory')) ??
    mounts.find(
      one =>
        one.version === 2 &&
        check.words(machine.read(`${one.path}/cgroup.controllers`)).includes('memory'),
    )
  const self = mount && ownGroup(machine.read('/proc/self/cgroup') ?? '', mount)
  return mount && { mount, self: mount.version === 2 ? charged(machine, mount, self!) : self! }
}

/** v2: the nearest group upwards that has the controller, which is the one that pays. */
function charged(machine: Machine, mount: Mount, self: string | null): string | null {
  let at = self
  while (at !== null && at !== mount.path) {
    if (machine.access(join(at, 'memory.current'), 'exists') !== 'ENOENT') break
    at = dirname(at)
  }
  return at
}

function locking(machine: Machine, scope: NativeScope, name: string): Capability {
  const { bytes, allowed } = machine.locking(scope)
  const mib = `${(bytes / 1048576).toFixed(1)} MiB`
  if (allowed) return check.yes(`${mib} can be locked`)
  const { reason, remedy } = memlockReason(`lockMemory({ scope: '${name}' })`, bytes)
  return check.no(reason, remedy)
}

export function examine(machine: Machine): ProbeReport {
  const { platform, arch, kernel } = machine
  const linux = platform === 'linux'
  const mounts = linux ? cgroupMounts(machine.read('/proc/self/mountinfo') ?? '') : []
  const found = findMemory(machine, mounts)
  const attempt = (work: () => Capability): Capability => {
    if (machine.addon) {
      return check.no(
        `the native addon is needed for it: ${machine.addon.message}`,
        linux
          ? 'install the package for this platform, or build it: npm run build:native'
          : 'use Linux',
      )
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
  const syscalls = machine.addon ? undefined : machine.syscalls()
  const checks: Checks = {
    addon: machine.addon ? attempt(() => controller) : check.yes('loaded'),
    memory: controller,
    writable: withMemory(memory => check.writable(machine, memory)),
    watch: withMemory(memory => check.watch(machine, memory)),
    guard: withMemory(memory => check.guard(machine, memory)),
    guardian: attempt(() => check.guardian(machine)),
    pressure: attempt(() => check.pressure(machine, found)),
    freeze: attempt(() => check.freeze(machine, found, mounts)),
    swap: withMemory(memory => check.swap(machine, memory)),
    lockOomPath: attempt(() => locking(machine, 0, 'oom-path')),
    lockProcess: attempt(() => locking(machine, 1, 'process')),
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
    self: found?.self ?? null,
    ...checks,
  }
}
