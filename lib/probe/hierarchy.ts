// Where the memory controller is mounted and which group this process is in: mountinfo and
// /proc/self/cgroup, proc_pid_mountinfo(5), cgroups(7). Pure functions over the text of the files.
import { join } from 'node:path'
import type { CgroupVersion } from '../../types/group.js'

export interface Mount {
  version: CgroupVersion
  /** The directory of the hierarchy that is mounted: '/', but in containers without a namespace. */
  root: string
  path: string
  readOnly: boolean
  controllers: readonly string[]
}

const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))

/** All cgroup mounts. v2's controllers are not named there: cgroup.controllers has them. */
export function cgroupMounts(mountinfo: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of mountinfo.split('\n')) {
    const [head, tail] = line.split(' - ')
    const [, , , root, path, options] = (head ?? '').split(' ')
    const [type, , superOptions] = (tail ?? '').split(' ')
    if (root === undefined || path === undefined || options === undefined) continue
    if (type !== 'cgroup' && type !== 'cgroup2') continue
    const words = (superOptions ?? '').split(',')
    mounts.push({
      version: type === 'cgroup' ? 1 : 2,
      root: unescape(root),
      path: unescape(path),
      readOnly: options.split(',').includes('ro') || words.includes('ro'),
      controllers: type === 'cgroup' ? words : [],
    })
  }
  // A later mount on the same directory hides the one before it.
  return mounts.filter(({ path }, i) => !mounts.slice(i + 1).some(later => later.path === path))
}

/** The absolute directory of the group that /proc/self/cgroup names, if the mount shows it. */
export function ownGroup(procCgroup: string, mount: Mount): string | null {
  for (const line of procCgroup.split('\n')) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (path === undefined) continue
    const ours =
      mount.version === 2
        ? id === '0' && controllers === ''
        : controllers!.split(',').includes('memory')
    if (!ours) continue
    if (path.startsWith('/..')) return null
    if (path === mount.root) return mount.path
    if (mount.root === '/') return join(mount.path, path)
    if (path.startsWith(`${mount.root}/`)) {
      return join(mount.path, path.slice(mount.root.length))
    }
    return null
  }
  return null
}
