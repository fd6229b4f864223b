// Where commands make a group of their own by default: below the group that they are in. On v2 that group
// has members and so may have no groups with limits below it: there the new group is beside it, except at
// the top of the hierarchy, which may have both. Where none can be made there, MemoryGroup.home() finds a place.
import { dirname, join } from 'node:path'
import type { MemoryGroupInit } from '../../types/limits.js'
import { OomError } from '../base/errors.js'
import { removeLeftovers } from '../group/job-groups.js'
import { MemoryGroup } from '../group/memory-group.js'
import { absoluteGroupPath } from '../handle/hierarchy.js'

const NO_PLACE = new Set(['EACCES', 'EBUSY', 'EOPNOTSUPP', 'EPERM', 'EROFS'])

export interface Wanted {
  name: string
  limits: MemoryGroupInit
  /** The group below which to make it. */
  within?: string | undefined
  /** The processes of this command's own group may be moved. */
  settle?: boolean
}

export interface OwnGroup extends AsyncDisposable {
  readonly group: MemoryGroup
}

async function placeFor(within: string | undefined): Promise<string> {
  await using group =
    within === undefined ? await MemoryGroup.of('self') : await MemoryGroup.open(within)
  const { path, version } = group
  const beside = within === undefined && version === 2 && path !== (await absoluteGroupPath('.'))
  return beside ? dirname(path) : path
}

async function below(place: string, { name, limits }: Wanted): Promise<MemoryGroup> {
  removeLeftovers(place)
  return await MemoryGroup.create(join(place, name), limits)
}

async function findHome(settle: boolean): Promise<MemoryGroup> {
  try {
    return await MemoryGroup.home({ settle })
  } catch (error) {
    const { code, message, path } = error as OomError
    if (code !== 'ERR_GROUP_OCCUPIED' || path === undefined || settle) throw error
    // The remedy of the command line.
    throw new OomError(code, message.replace(/home\(\{ settle: true \}\)/, '--settle'), { path })
  }
}

async function atHome(wanted: Wanted): Promise<OwnGroup> {
  const home = await findHome(wanted.settle === true)
  try {
    const group = await below(home.path, wanted)
    return {
      group,
      async [Symbol.asyncDispose]() {
        await group.close()
        await home.close()
      },
    }
  } catch (error) {
    await home.close()
    throw error
  }
}

/** To be removed by the caller; its disposal closes it, and undoes what has been made for it. */
export async function makeGroup(wanted: Wanted): Promise<OwnGroup> {
  const { within, settle } = wanted
  if (within === undefined && settle === true) return await atHome(wanted)
  try {
    const group = await below(await placeFor(within), wanted)
    return { group, [Symbol.asyncDispose]: () => group.close() }
  } catch (error) {
    if (within !== undefined || !NO_PLACE.has((error as OomError).code)) throw error
    return await atHome(wanted)
  }
}
