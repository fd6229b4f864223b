// Which container runtime or manager this process runs under, as far as it leaves signs, and what has to be
// switched there so that cgroupfs can be written. Pure over `Look`: errors and probe() share the table.
import { accessSync, readFileSync } from 'node:fs'

/** `'container'`: one whose runtime has left no sign that is known. */
export type Runtime =
  'docker' | 'podman' | 'nerdctl' | 'containerd' | 'cri-o' | 'gke' | 'container' | 'systemd'

/** What is read of the machine. */
export interface Look {
  /** The text of a file, or undefined. */
  read: (path: string) => string | undefined
  exists: (path: string) => boolean
  env: NodeJS.ProcessEnv
}

/** The switch that makes a container's cgroupfs writable. None of them gives it the host's devices. */
export const SWITCHES: Readonly<Record<Exclude<Runtime, 'container' | 'systemd'>, string>> = {
  docker: 'docker run --security-opt writable-cgroups=true (Docker 28 or later)',
  podman: 'podman run --security-opt unmask=/sys/fs/cgroup',
  nerdctl: 'nerdctl run --security-opt writable-cgroups=true',
  containerd:
    "cgroup_writable = true in the runtime's section of the configuration of containerd (2.1 or later)",
  'cri-o': 'the annotation io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw of CRI-O on the pod',
  gke: 'writableCgroups.enabled in the containerd configuration of the GKE node pool',
}

const ALL = Object.values(SWITCHES).join('; ')
const UNIT = 'Delegate=yes in the systemd unit'

function inKubernetes({ read, exists, env }: Look, mounts: string, groups: string): Runtime {
  const crio =
    exists('/run/.containerenv') || /\bcrio\b|\/containers\/storage\//.test(mounts + groups)
  if (crio || /\bcrio-/.test(groups)) return 'cri-o'
  const machine = read('/sys/class/dmi/id/product_name') ?? ''
  return env['GKE_CLUSTER_NAME'] !== undefined || machine.startsWith('Google')
    ? 'gke'
    : 'containerd'
}

/** Undefined: neither a container nor systemd. */
export function runtimeOf(look: Look): Runtime | undefined {
  const { read, exists, env } = look
  // Files that the runtime binds into the container come from its own directory.
  const mounts = read('/proc/self/mountinfo') ?? ''
  const groups = read('/proc/1/cgroup') ?? ''
  const named = env['container'] ?? read('/run/systemd/container')?.trim() ?? ''
  if (
    env['KUBERNETES_SERVICE_HOST'] !== undefined ||
    groups.includes('kubepods') ||
    mounts.includes('/kubelet/pods/')
  ) {
    return inKubernetes(look, mounts, groups)
  }
  if (exists('/run/.containerenv') || named === 'podman' || groups.includes('libpod'))
    return 'podman'
  if (mounts.includes('/nerdctl/')) return 'nerdctl'
  if (exists('/.dockerenv') || named === 'docker' || /\/docker[-/]/.test(groups)) return 'docker'
  if (groups.includes('cri-containerd') || mounts.includes('/io.containerd.')) return 'containerd'
  if (named !== '' || /\/lxc[./]/.test(groups)) return 'container'
  return exists('/run/systemd/system') ? 'systemd' : undefined
}

/** Whether a path is on a file system that is mounted read-only: proc_pid_mountinfo(5). */
export function isReadOnly({ read }: Look, path: string): boolean {
  let best = ''
  let readOnly = false
  for (const line of (read('/proc/self/mountinfo') ?? '').split('\n')) {
    const [, , , , at = '', options = ''] = line.split(' ')
    const around = at === '/' || path === at || path.startsWith(`${at}/`)
    // Of those at one place the last one is seen.
    if (at === '' || !around || at.length < best.length) continue
    best = at
    readOnly = /(^|,)ro(,|$)/.test(options) || / - \S+ \S+ (\S*,)?ro(,|$)/.test(line)
  }
  return readOnly
}

/** What to do where cgroupfs is mounted read-only (EROFS). */
export function readOnlySwitch(runtime: Runtime | undefined): string {
  if (runtime === 'container') return ALL
  if (runtime === 'systemd') return `ProtectControlGroups=no and ${UNIT}`
  return runtime === undefined
    ? 'mount it writable (mount -o remount,bind,rw), or in a container: ' + ALL
    : SWITCHES[runtime]
}

/** What to do where it may be written, but not by this user (EACCES). */
export function delegationSwitch(runtime: Runtime | undefined): string {
  if (runtime === 'systemd') {
    return `${UNIT}, or systemd-run --user --scope -p Delegate=yes COMMAND; MemoryGroup.home() asks systemd for such a scope`
  }
  const chown =
    'chown the directory, its cgroup.procs and (v2) its cgroup.subtree_control and cgroup.threads to this user'
  return runtime === undefined
    ? `have its owner delegate it: ${chown}`
    : `in the container's entry point, before it becomes this user: ${chown}`
}

/** The same for the page of errors, where no machine is at hand. */
export const EVERY_SWITCH: Readonly<Record<'{read-only}' | '{delegation}', string>> = {
  '{read-only}': `${ALL}; ProtectControlGroups=no and ${UNIT}`,
  '{delegation}': `${delegationSwitch('systemd')}; elsewhere ${delegationSwitch(undefined)}`,
}

/** The text with the switch of this machine in the place of its name. */
export function withSwitch(text: string, runtime: () => Runtime | undefined = thisRuntime): string {
  return text
    .replace('{read-only}', () => readOnlySwitch(runtime()))
    .replace('{delegation}', () => delegationSwitch(runtime()))
}

export const thisLook: Look = {
  read(path) {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  },
  exists(path) {
    try {
      accessSync(path)
      return true
    } catch {
      return false
    }
  },
  get env() {
    return process.env
  },
}

/** Read each time: only failures and probe() ask. */
export function thisRuntime(): Runtime | undefined {
  return runtimeOf(thisLook)
}
