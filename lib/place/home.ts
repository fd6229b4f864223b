// MemoryGroup.home(): finds a group below which groups with limits can be made, or makes one, and undoes what it
// has made. One at a time in this process: two would move each other's processes.
import { join } from 'node:path'
import { OomError, ownError } from '../base/errors.js'
import { OWN } from '../base/error-table.js'
import { openHandle } from '../handle/handle.js'
import { binding } from '../native/addon.js'
import type { GroupHandle } from '../native/group.js'
import { LEAF, wayHome, switchFor, type Way } from './decide.js'
import { thisPlace } from './look.js'
import { nameOf, PlainGroup } from './plain-group.js'
import { askForScope } from './scope.js'
import { settle } from './settle.js'
import { signsOf, type Signs } from './signs.js'
import { unitOf } from './unit.js'

// That many are named.
const NAMED = 10

export interface Home {
  handle: GroupHandle
  undo?: () => Promise<void>
}

async function readSigns(): Promise<Signs> {
  const { memory, self } = binding().hierarchies()
  if (memory === null) throw ownError('ERR_CGROUP_UNSUPPORTED')
  const uid = process.geteuid?.() ?? -1
  return signsOf(thisPlace, { mount: memory, self }, await unitOf(thisPlace, uid), uid)
}

function noHome(signs: Signs, why: string, cause?: Error): OomError {
  const { path } = signs.own
  const reason = signs.readOnly
    ? 'cgroupfs is mounted read-only'
    : `'${path}' is not delegated to this user (${why})`
  const asked = cause === undefined ? '' : `; systemd was asked for a scope: ${cause.message}`
  const works = signs.version === 2 ? ', watches and counters' : ' and counters'
  const text = `${OWN['ERR_NO_HOME']!.means}: ${reason}${asked}. guard({ hold: { by: 'signals' } })${works} work all the same; for groups of its own: ${switchFor(why, signs)}`
  return new OomError('ERR_NO_HOME', text, cause === undefined ? { path } : { path, cause })
}

function occupied(path: string): OomError {
  const { pids, unseen } = new PlainGroup(path).members()
  const names = pids.slice(0, NAMED).map(nameOf)
  if (pids.length > NAMED) names.push(`${pids.length - NAMED} more`)
  if (unseen > 0) names.push(`${unseen} of another PID namespace`)
  const { means } = OWN['ERR_GROUP_OCCUPIED']!
  const text = `${means}: '${path}' has ${names.join(', ')}. home({ settle: true }) moves them into a group below it first`
  return new OomError('ERR_GROUP_OCCUPIED', text, { path })
}

async function settled(path: string): Promise<Home> {
  const handle = await openHandle(path)
  try {
    const own = new PlainGroup(path)
    const { undo } = await settle(own, new PlainGroup(join(path, LEAF)))
    return { handle, undo }
  } catch (error) {
    handle.close()
    throw error
  }
}

async function go(
  signs: Signs,
  way: Exclude<Way, { how: 'scope' }>,
  mayMove: boolean,
  cause?: Error,
): Promise<Home> {
  if (way.how === 'there') return { handle: await openHandle(way.path) }
  if (way.how === 'none') throw noHome(signs, way.why, cause)
  if (!mayMove) throw occupied(way.path)
  return settled(way.path)
}

/** Into the scope, and into a leaf of it: only what this call has brought in can be there. */
async function inScope(signs: Signs): Promise<Home> {
  const scope = await askForScope(signs.unit!)
  const signsThere = await readSigns()
  const home = await settled(signsThere.own.path).catch((error: unknown) => {
    scope.leave()
    throw error
  })
  return {
    handle: home.handle,
    async undo() {
      await home.undo?.()
      scope.leave()
    },
  }
}

async function find(mayMove: boolean): Promise<Home> {
  const signs = await readSigns()
  const way = wayHome(signs)
  if (way.how !== 'scope') return go(signs, way, mayMove)
  try {
    return await inScope(signs)
  } catch (error) {
    return go(signs, way.otherwise, mayMove, error as Error)
  }
}

let turn: Promise<unknown> = Promise.resolve()

function inTurn<T>(work: () => T | Promise<T>): Promise<T> {
  const result = turn.then(work)
  turn = result.catch(() => {})
  return result
}

export async function findHome(
  mayMove: boolean,
): Promise<{ handle: GroupHandle; undo?: () => Promise<void> }> {
  const { handle, undo } = await inTurn(() => find(mayMove))
  return undo === undefined ? { handle } : { handle, undo: () => inTurn(undo) }
}
