// Where groups with limits can be made, and which of five places this process is in: pure rules over what
// signs.ts has read. home() and probe() share them.
import { basename } from 'node:path'
import type { PlaceKind } from '../../types/probe.js'
import { delegationSwitch, readOnlySwitch } from '../base/runtime.js'
import type { GroupSigns, Signs } from './signs.js'

/** Of the group below a home into which the processes of the home are moved. */
export const LEAF = 'cgroup-oom-members'

/** How a home is had. */
export type Way =
  /** The group is there: this process's own, or the one above. */
  | { how: 'there'; path: string }
  /** Its own, once its processes have moved into a group below it. */
  | { how: 'settle'; path: string }
  /** systemd is asked for a scope; `otherwise`: where it refuses. */
  | { how: 'scope'; otherwise: Exclude<Way, { how: 'scope' }> }
  | { how: 'none'; why: string }

// A process that made room in the group above, or undid it, was killed halfway.
const isLeftHalfway = ({ own, above }: Signs): boolean =>
  basename(own.path) === LEAF && above?.given === false

const isOpen = (signs: Signs, group: GroupSigns): boolean =>
  !signs.readOnly && group.closed === undefined

// The no-internal-process rule of cgroup v2: a group gives controllers or has processes. The root is exempt.
const isFree = (group: GroupSigns): boolean => group.given || group.root || !group.members

/** v2: systemd's slices are its own, user@UID.service is the user manager's; what is below a unit is the unit's. */
const isOurs = (signs: Signs, group: GroupSigns): boolean =>
  signs.version === 1 ||
  signs.runtime !== 'systemd' ||
  group.root ||
  /\.(service|scope)(\/|$)/.test(group.path.replace(/\/user@\d+\.service(?=\/|$)/, ''))

function closedBy(signs: Signs): string {
  return signs.readOnly ? 'EROFS' : (signs.own.closed ?? 'EACCES')
}

function wayWithout(signs: Signs): Exclude<Way, { how: 'scope' }> {
  const { own, above } = signs
  const mine = isOpen(signs, own) && isOurs(signs, own)
  if (mine && isFree(own)) return { how: 'there', path: own.path }
  if (above !== undefined && isOpen(signs, above) && !above.root && isOurs(signs, above)) {
    // The process has been moved into a leaf before, by home() or by the container's entry point.
    if (above.given && !own.limited) return { how: 'there', path: above.path }
    if (isLeftHalfway(signs)) return { how: above.members ? 'settle' : 'there', path: above.path }
  }
  if (mine) return { how: 'settle', path: own.path }
  return { how: 'none', why: closedBy(signs) }
}

export function wayHome(signs: Signs): Way {
  const otherwise = wayWithout(signs)
  const { version, unit, readOnly } = signs
  // systemd delegates no v1 controller to a user.
  if (version === 1 || readOnly || unit?.reachable !== true) return otherwise
  // In a group that is not delegated systemd may undo what is done there.
  return unit.delegate === false || otherwise.how === 'none'
    ? { how: 'scope', otherwise }
    : otherwise
}

/** What to switch, so that there is a home. */
export function switchFor(
  why: string,
  { runtime, version }: Pick<Signs, 'runtime' | 'version'>,
): string {
  if (why === 'EROFS') return readOnlySwitch(runtime)
  // No unit of systemd hands v1 controllers down to a user.
  return delegationSwitch(version === 1 && runtime === 'systemd' ? undefined : runtime)
}

/** undefined: there is no memory hierarchy. */
export function placeKind(signs: Signs | undefined): PlaceKind {
  if (signs === undefined) return 'none'
  const way = wayHome(signs)
  const container = signs.runtime !== undefined && signs.runtime !== 'systemd'
  const open = way.how === 'there' || way.how === 'settle'
  if (container) return open ? 'container' : 'read-only'
  if (way.how === 'scope') {
    // Root needs nobody's leave; a scope is only the tidier way.
    return signs.uid === 0 && way.otherwise.how !== 'none' ? 'delegated' : 'systemd'
  }
  if (open) return 'delegated'
  return signs.runtime === 'systemd' && !signs.readOnly ? 'systemd' : 'read-only'
}
