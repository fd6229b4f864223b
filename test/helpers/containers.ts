// Environments as containers and users have them, made without a container engine: namespaces, a remounted or
// read-only hierarchy, another user, a delegated tree.
import { spawnSync } from 'node:child_process'
import { chownSync, existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { mount } from './memory-files.js'
import { child, scratch } from './scratch.js'
import { inLab } from './swap.js'

export const USER = 1000
// The default of systemd and of recent kernels.
export const MEMLOCK = ['prlimit', '--memlock=8388608:8388608']
export const AS_USER = [
  ...MEMLOCK,
  ...['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'],
]

/** Runs the rest in namespaces of its own, after a piece of shell. Not busybox's, which has fewer. */
export const unshared = (options: string[], setUp: string): string[] => [
  ...['/usr/bin/unshare', ...options, 'sh', '-c', `${setUp} && exec "$@"`, 'sh'],
]
/** A container's: on an own directory, because the kernel mounts no file system on itself. */
export const remounted = (type: string): string =>
  `mount -t tmpfs none ${dirname(mount)} && mkdir ${mount} && mount ${type} none ${mount}`
const may = spawnSync('unshare', ['--mount', 'true']).status === 0
export const mounts = { skip: may ? false : 'mount namespaces are not allowed here' }
export const readOnly = (): string[] => unshared(['--mount'], `mount -o remount,bind,ro ${mount}`)
export const lab = { skip: inLab ? false : "only in the lab's machine: remounts the hierarchy" }

/** As systemd gives it to a user: the directory, and the files that have its members. */
export function delegate(dir: string): string {
  const files = ['.', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads', 'tasks']
  for (const file of files.map(name => join(dir, name)).filter(existsSync)) {
    chownSync(file, USER, USER)
  }
  return dir
}

/** The tree of user@1000.service below a scratch group: what is delegated, and where a process lives. */
export function userService(t: Test): { service: string; home: string } {
  const slice = child(child(scratch(t), 'user.slice'), `user-${USER}.slice`)
  const service = child(slice, `user@${USER}.service`)
  const home = delegate(child(service, 'init.scope'))
  return { service: delegate(service), home }
}
