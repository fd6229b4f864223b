// Where commands make groups of their own unless they are told: below the group that they are in. On v2
// that one has members, and so may have no groups with limits below it: there it is beside it, but for
// the top, which may have both.
import { dirname } from 'node:path'
import { MemoryGroup } from '../group/memory-group.js'
import { absoluteGroupPath } from '../handle/hierarchy.js'

/** The group, absolute, below which to make one; `within`: as asked for. */
export async function placeFor(within: string | undefined): Promise<string> {
  await using group =
    within === undefined ? await MemoryGroup.of('self') : await MemoryGroup.open(within)
  const { path, version } = group
  const beside = within === undefined && version === 2 && path !== (await absoluteGroupPath('.'))
  return beside ? dirname(path) : path
}
