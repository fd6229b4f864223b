// What is known of the place that this process is in: its memory group and the one above, who may write them,
// the runtime, the unit. Only reads.
import { join, dirname } from 'node:path'
import type { CgroupVersion } from '../../types/limits.js'
import type { Look, Runtime } from '../base/runtime.js'
import { runtimeOf } from '../base/runtime.js'
import type { Unit } from './unit.js'

export interface PlaceLook extends Look {
  /** access(2): undefined, or the errno's name. */
  access: (path: string, how: 'exists' | 'read' | 'write' | 'execute') => string | undefined
}

/** A group as one that may become a home. */
export interface GroupSigns {
  path: string
  /** Why it may not be written, an errno's name, or undefined. */
  closed: string | undefined
  /** It gives groups below it the memory controller (v2). */
  given: boolean
  /** It has processes of its own. */
  members: boolean
  /** It is the root of the whole hierarchy, which may have both. */
  root: boolean
  /** It has a limit of its own, which a group beside it would escape. */
  limited: boolean
}

export interface Signs {
  version: CgroupVersion
  readOnly: boolean
  own: GroupSigns
  /** Directly above, where that is within the mount (v2). */
  above: GroupSigns | undefined
  runtime: Runtime | undefined
  /** Of systemd, around this process. */
  unit: Unit | undefined
  uid: number
}

const words = (text: string | undefined): string[] => (text ?? '').trim().split(/\s+/)

// v2: each of these has permissions of its own.
const WRITTEN = { 1: ['.'], 2: ['.', 'cgroup.procs', 'cgroup.subtree_control'] } as const

export function groupSigns(look: PlaceLook, path: string, version: CgroupVersion): GroupSigns {
  const files = WRITTEN[version].map(file => look.access(join(path, file), 'write'))
  const given = words(look.read(join(path, 'cgroup.subtree_control'))).includes('memory')
  const limits = ['memory.max', 'memory.high'].map(file => look.read(join(path, file))?.trim())
  return {
    path,
    closed: files.find(error => error !== undefined),
    given: version === 1 || given,
    members: (look.read(join(path, 'cgroup.procs')) ?? '').trim() !== '',
    root: version === 2 && look.access(join(path, 'cgroup.type'), 'exists') === 'ENOENT',
    limited: limits.some(text => text !== undefined && text !== 'max'),
  }
}

export interface Where {
  mount: { path: string; version: CgroupVersion; readOnly: boolean }
  self: string | null
}

/** `self` null: the process's own group is outside of what is mounted; then the mount's root counts. */
export function signsOf(
  look: PlaceLook,
  { mount, self }: Where,
  unit: Unit | undefined,
  uid: number,
): Signs {
  const { path, version, readOnly } = mount
  const own = self ?? path
  const up = version === 2 && own !== path ? dirname(own) : undefined
  return {
    version,
    readOnly,
    own: groupSigns(look, own, version),
    above: up === undefined ? undefined : groupSigns(look, up, version),
    runtime: runtimeOf(look),
    unit,
    uid,
  }
}
