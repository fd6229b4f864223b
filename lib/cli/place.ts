// Where commands make groups of their own by default: below the group that they are in. On v2 that group
// has members and so may have no groups with limits below it: there the new group is beside it, except at
// the top of the hierarchy, which may have both.
import { dirname } from 'node:path'
import { MemoryGroup } from '../group/memory-group.js'
import { absoluteGroupPath } from '../handle/hierarchy.js'

/** The absolute path of the group below which to make one; `within`: the option of the command line. */
export async function placeFor(within: string | undefined): Promise<string> {
  await using group =
    within === undefined ? await MemoryGroup.of('self') : await MemoryGroup.open(within)
  const { path, version } = group
  const beside = within === undefined && version === 2 && path !== (await absoluteGroupPath('.'))
  return beside ? dirname(path) : path
}
