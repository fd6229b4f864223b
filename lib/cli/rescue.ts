// cgroup-oom rescue: releases groups that are held although no live process holds them. Refuses if a
// guardian or sentinel is alive, which relies on its hold.
import { groupPath } from '../base/args.js'
import { fromNative } from '../base/errors.js'
import { MemoryGroup } from '../group/memory-group.js'
import { handleOf } from '../handle/handle.js'
import { absoluteGroupPath } from '../handle/hierarchy.js'
import { checked, groupsOf, parse, type Command } from './command.js'
import { count, shown } from './format.js'
import { heldGroups, holdersText, isHeld, type HeldGroup } from './held-groups.js'

const help = `Usage: cgroup-oom rescue GROUP… [--recursive] [--force]

Releases groups to the kernel's killer that are held although no live process holds them, so that their
tasks do not hang when they run out of memory (v1: writes 0 to memory.oom_control; v2: restores
memory.high, memory.max and cgroup.freeze as the guard had found them). A group that a live guardian or
sentinel holds is refused.

Options:
  --recursive   also the groups below
  --force       also if a live process holds the group; its guard may hold it again
  --help        this text

Exit status: 0 all of them are released, 1 at least one was refused or failed, 2 usage.
`

/** False: it was refused. */
export async function release(held: HeldGroup, force: boolean): Promise<boolean> {
  const orphan = held.behind.length === 0 && held.certain
  if (!orphan && !force) {
    process.stderr.write(
      `${shown(held.path)}: refused, held by ${holdersText(held)} (--force releases it all the same)\n`,
    )
    return false
  }
  await using group = await MemoryGroup.open(held.path)
  // Its owner may have replaced it by another group, which a live process may hold.
  if (handleOf(group).identity !== held.identity) {
    process.stderr.write(
      `${shown(held.path)}: has become another group in the meantime: run the command again\n`,
    )
    return false
  }
  try {
    await handleOf(group).giveKillerBack()
  } catch (error) {
    throw fromNative(error, held.path)
  }
  const details = [
    held.underOom ? 'it was out of memory' : '',
    count(held.members.length, 'member'),
    orphan ? '' : `by force, held by ${holdersText(held)}`,
  ].filter(Boolean)
  process.stdout.write(`${shown(held.path)}: released (${details.join(', ')})\n`)
  return true
}

async function rescueOne(path: string, recursive: boolean, force: boolean): Promise<boolean> {
  // A path that is no memory group is an error, not a group whose killer is enabled.
  await using group = await MemoryGroup.open(path)
  const all = await heldGroups([group.path], { recursive: true })
  const held = recursive ? all : all.filter(one => one.path === group.path)
  let done = true
  // Release a group above first: on v1 those made below it from then on are born with their killer.
  for (const one of held) done = (await release(one, force)) && done
  if (held.length === 0)
    process.stdout.write(`${shown(group.path)}: killer is enabled, nothing to do\n`)
  const left = all.filter(one => !held.includes(one) && isHeld(one.path)).length
  if (left > 0) {
    const groups = left === 1 ? '1 group below has' : `${left} groups below have`
    process.stdout.write(
      `${shown(group.path)}: ${groups} the killer disabled still (--recursive)\n`,
    )
  }
  return done
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { recursive: { type: 'boolean' }, force: { type: 'boolean' } },
  })
  const groups = groupsOf(positionals).map(path => checked(() => groupPath('GROUP', path)))
  let status = 0
  for (const path of groups) {
    try {
      if (!(await rescueOne(path, values.recursive === true, values.force === true))) status = 1
    } catch (error) {
      const at = await absoluteGroupPath(path)
      process.stderr.write(`${shown(`${at}: ${(error as Error).message}`)}\n`)
      status = 1
    }
  }
  return status
}

export const rescue: Command = {
  name: 'rescue',
  summary: 'release groups that no live process holds any more',
  help,
  run,
}
