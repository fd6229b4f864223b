// One check per field of the ProbeReport: what is so, why, and what to do about it. Each reads
// the machine through `Machine` alone and changes nothing.
import { join } from 'node:path'
import type { Capability } from '../../types/probe.js'
import { runtimeOf } from '../base/runtime.js'
import type { Mount } from '../native/group.js'
import { switchFor } from '../place/decide.js'
import type { Machine } from './machine.js'

export const yes = (reason: string): Capability => ({ available: true, reason })
export const no = (reason: string, remedy: string): Capability => ({
  available: false,
  reason,
  remedy,
})

export const words = (text: string | undefined): string[] => (text ?? '').trim().split(/\s+/)

/** The memory hierarchy as found. */
export interface Found {
  mount: Mount
  self: string | null
}

/** v2: the hierarchy's own root, which lacks most files; what a container sees as the root is not. */
const isRoot = (machine: Machine, mount: Mount, dir: string | null): boolean =>
  dir === mount.path && machine.access(join(dir, 'cgroup.type'), 'exists') === 'ENOENT'

export function memory(
  machine: Machine,
  found: Found | undefined,
  others: readonly Mount[],
): Capability {
  if (found) {
    const { version, path } = found.mount
    const flat = version === 1 && machine.read(join(path, 'memory.use_hierarchy'))?.trim() === '0'
    const what = `cgroup v${version} memory controller at ${path}`
    return yes(
      flat ? `${what}; limits do not count the groups below (memory.use_hierarchy is 0)` : what,
    )
  }
  if (/(^| )cgroup_disable=(\S*,)?memory/.test(machine.read('/proc/cmdline') ?? '')) {
    return no(
      'the memory controller is switched off by cgroup_disable=memory',
      'boot without that option (where the firmware adds it, as on a Raspberry Pi: with cgroup_enable=memory)',
    )
  }
  if (others.length === 0) {
    return no(
      'no cgroup hierarchy is mounted',
      'mount one: mount -t cgroup -o memory none DIRECTORY',
    )
  }
  const v2 = others.find(mount => mount.version === 2)
  if (v2) {
    return no(
      `${v2.path} (cgroup v2) has no memory controller, and no v1 memory hierarchy is mounted`,
      `enable it: echo +memory into the parents' cgroup.subtree_control, or mount the v1 controller where the kernel has one (CONFIG_MEMCG_V1; Debian's kernels from 6.12 on have not)`,
    )
  }
  return no(
    'cgroup v1 hierarchies are mounted, but none with the memory controller',
    "mount it: mount -t cgroup -o memory none DIRECTORY (needs CONFIG_MEMCG_V1; Debian's kernels from 6.12 on have it not)",
  )
}

export function writable(machine: Machine, { mount, self }: Found): Capability {
  const places = self === null || self === mount.path ? [mount.path] : [self, mount.path]
  const errors = places.map(place => machine.access(place, 'write'))
  const open = places.find((_, i) => errors[i] === undefined)
  if (open !== undefined && !mount.readOnly) return openTo(machine, open, mount)
  if (mount.readOnly || errors.includes('EROFS')) {
    return no(
      `${mount.path} is mounted read-only, as in most containers`,
      switchFor('EROFS', { runtime: runtimeOf(machine), version: mount.version }),
    )
  }
  return no(
    `${places[0]} belongs to another user (${errors[0]})`,
    switchFor('EACCES', { runtime: runtimeOf(machine), version: mount.version }),
  )
}

/** A directory that may be written; on v2 some of its files have permissions of their own. */
function openTo(machine: Machine, dir: string, mount: Mount): Capability {
  if (mount.version === 1) return yes(`${dir} can be written`)
  for (const file of ['cgroup.procs', 'cgroup.subtree_control']) {
    const error = machine.access(join(dir, file), 'write')
    if (error === undefined) continue
    return no(
      `${dir} can be written, but its ${file} cannot (${error}): it is not delegated`,
      switchFor('EACCES', { runtime: runtimeOf(machine), version: mount.version }),
    )
  }
  const given = words(machine.read(join(dir, 'cgroup.subtree_control'))).includes('memory')
  return given || isRoot(machine, mount, dir)
    ? yes(`${dir} can be written`)
    : yes(
        `${dir} can be written; while it has processes of its own, groups with limits cannot be made in it: MemoryGroup.home({ settle: true }) moves them`,
      )
}

function realtime(machine: Machine): boolean {
  return (machine.read('/sys/kernel/realtime') ?? '').trim() === '1'
}

const RT = no(
  'kernels with PREEMPT_RT have no cgroup v1 notifications',
  'use a kernel without PREEMPT_RT',
)

export function watch(machine: Machine, { mount, self }: Found): Capability {
  if (mount.version === 2) {
    // The root has no such file; Linux 5.2 gave it to every other group.
    const name = 'memory.events.local'
    const lacks =
      self !== null &&
      !isRoot(machine, mount, self) &&
      machine.access(join(self, name), 'exists') === 'ENOENT'
    return lacks ? no(`there is no ${join(self, name)}`, 'use Linux 5.2 or later') : yes(name)
  }
  if (realtime(machine)) return RT
  const file = join(self ?? mount.path, 'cgroup.event_control')
  const error = machine.access(file, 'write')
  if (error === undefined) return yes('cgroup.event_control')
  const why = mount.readOnly ? 'EROFS' : error
  const remedy = switchFor(why, { runtime: runtimeOf(machine), version: mount.version })
  return no(`${file} cannot be written (${why}), which takes a watch on v1`, remedy)
}

export function guard(machine: Machine, found: Found): Capability {
  const v2 = found.mount.version === 2
  if (!v2 && realtime(machine)) return RT
  const can = writable(machine, found)
  if (!can.available) {
    const remedy = `guard({ hold: { by: 'signals' } }) needs no leave; for the hold by the kernel: ${can.remedy}`
    return no(`groups cannot be written: ${can.reason}`, remedy)
  }
  if (v2) return yes('memory.high and cgroup.freeze can hold a group below its limit')
  const file = join(found.self ?? found.mount.path, 'memory.oom_control')
  return machine.access(file, 'exists') === undefined
    ? yes('memory.oom_control can disable the kernel killer')
    : no(`there is no ${file}`, 'use a kernel with CONFIG_MEMCG_V1')
}

// What native/core/memcg/signal_facts.cc reads.
const READ_BY_SIGNALS = {
  1: ['memory.usage_in_bytes', 'memory.limit_in_bytes', 'memory.oom_control'],
  2: ['memory.current', 'memory.max', 'memory.events'],
} as const

export function guardBySignals(machine: Machine, { mount, self }: Found): Capability {
  const dir = self ?? mount.path
  // The root has no limit, and not all of these files.
  if (isRoot(machine, mount, dir)) return yes(`usage and limits of groups below ${dir} can be read`)
  for (const file of READ_BY_SIGNALS[mount.version]) {
    const error = machine.access(join(dir, file), 'read')
    if (error === undefined) continue
    return no(
      `${join(dir, file)} cannot be read (${error})`,
      "mount cgroupfs in this container, read-only will do, or give the group's owner the right to read it",
    )
  }
  return yes(`usage and limit of ${dir} can be read`)
}

/** One of the programs beside the addon; `remedy`: what can be done without it. */
export function program(machine: Machine, name: string, remedy: string): Capability {
  const file = machine.nativeFile(name)
  if (file === undefined) return no(`the program ${name} is not in this package`, remedy)
  const fault = machine.fault(file)
  return fault === undefined
    ? yes(file)
    : no(`${file} cannot be executed: ${fault.reason}`, fault.remedy)
}

export function pressure(machine: Machine, found: Found | undefined): Capability {
  // On v1 the system's, on v2 the group's own.
  const { mount, self } = found ?? {}
  const own = mount?.version === 2 && self !== null && !isRoot(machine, mount, self!)
  const file = own ? join(self!, 'memory.pressure') : '/proc/pressure/memory'
  if (machine.access(file, 'exists') !== undefined) {
    return no(`there is no ${file}`, 'use a kernel with CONFIG_PSI')
  }
  if (machine.read(file) === undefined) {
    return no('pressure stall information is switched off', 'boot with psi=1')
  }
  const error = machine.access(file, 'write')
  if (error !== undefined) return yes(`${file} is sampled: no trigger may be set (${error})`)
  return yes(
    machine.uid === 0
      ? file
      : `${file}; unprivileged, a windowMs that is no multiple of 2000 is sampled`,
  )
}

export function freeze(
  machine: Machine,
  found: Found | undefined,
  mounts: readonly Mount[],
): Capability {
  if (found?.mount.version === 2) {
    const { mount, self } = found
    // The root has no such file; Linux 5.2 gave it to every other group.
    const lacks =
      !isRoot(machine, mount, self) &&
      machine.access(join(self ?? mount.path, 'cgroup.freeze'), 'exists')
    return lacks ? no('no cgroup.freeze', 'use Linux 5.2 or later') : yes('cgroup.freeze')
  }
  const freezer = mounts.find(
    mount => mount.version === 1 && mount.options.split(',').includes('freezer'),
  )
  if (!freezer) {
    return no(
      'no v1 freezer hierarchy is mounted',
      'mount it: mount -t cgroup -o freezer none DIRECTORY',
    )
  }
  return freezer.readOnly
    ? no(
        `${freezer.path} is mounted read-only`,
        switchFor('EROFS', { runtime: runtimeOf(machine), version: 1 }),
      )
    : yes(`v1 freezer at ${freezer.path}`)
}

export function swap(machine: Machine, { mount, self }: Found): Capability {
  const file = mount.version === 1 ? 'memory.memsw.limit_in_bytes' : 'memory.swap.max'
  const off = no(`groups have no ${file}`, 'boot with swapaccount=1 (CONFIG_SWAP)')
  if (mount.version === 2 && isRoot(machine, mount, self ?? mount.path)) {
    // The root has none: what groups below it have depends on these. Linux 6.1 took the option away.
    const without =
      machine.access('/proc/swaps', 'exists') !== undefined ||
      (/^([1-5]|6\.0)\./.test(machine.kernel) &&
        /(^| )swapaccount=0/.test(machine.read('/proc/cmdline') ?? ''))
    return without ? off : yes(file)
  }
  const seen = [self, mount.path].some(
    dir => dir !== null && machine.access(join(dir, file), 'exists') === undefined,
  )
  return seen ? yes(file) : off
}

export function protect(machine: Machine): Capability {
  const CAP_SYS_RESOURCE = 24n
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(machine.read('/proc/self/status') ?? '')?.[1]
  const has = ((BigInt(`0x${effective ?? '0'}`) >> CAP_SYS_RESOURCE) & 1n) === 1n
  const initial = /^\s*0\s+0\s+4294967295\s*$/.test(machine.read('/proc/self/uid_map') ?? '')
  if (has && initial) return yes('CAP_SYS_RESOURCE')
  return no(
    has ? 'CAP_SYS_RESOURCE does not count in a user namespace' : 'CAP_SYS_RESOURCE is missing',
    'run with it, or have the process started with that value: OOMScoreAdjust= in a systemd unit, --oom-score-adj of a container',
  )
}

export function syscall(error: string | undefined, name: string, since: string): Capability {
  if (error === undefined) return yes(name)
  return error === 'ENOSYS'
    ? no(`the kernel has no ${name}`, `use Linux ${since} or later`)
    : no(`${name} is refused (${error})`, 'allow it in the seccomp filter of the container')
}

export function inotify(error: string | undefined): Capability {
  if (error === undefined) return yes('inotify(7)')
  const instead = 'new groups are found by listing them ten times a second instead, or less often'
  if (error === 'EMFILE') {
    return no(
      `this user's programs have all inotify instances, or this process has no descriptor left (${error}): ${instead}`,
      'raise the sysctl fs.inotify.max_user_instances, or RLIMIT_NOFILE',
    )
  }
  if (error === 'ENOSPC') {
    return no(
      `this user's programs have all inotify watches (${error}): ${instead}`,
      'raise the sysctl fs.inotify.max_user_watches',
    )
  }
  return no(
    `inotify cannot be used (${error}): ${instead}`,
    'allow it in the seccomp filter of the container',
  )
}
