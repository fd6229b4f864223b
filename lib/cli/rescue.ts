// cgroup-oom rescue: gives the kernel's killer back to groups that somebody has disabled it in and
// has left. Refuses where a guardian or sentinel is alive: it would take away what that one holds.
import { groupPath } from '../base/args.js'
import { fromNative } from '../base/errors.js'
import { MemoryGroup } from '../group/memory-group.js'
import { handleOf } from '../handle/handle.js'
import { absoluteGroupPath } from '../handle/hierarchy.js'
import { checked, groupsOf, parse, type Command } from './command.js'
import { count, shown } from './format.js'
import { behindText, heldGroups, isHeld, type HeldGroup } from './held-groups.js'

const help = `Usage: cgroup-oom rescue GROUP… [--recursive] [--force]

Gives the kernel's killer back to groups whose killer is disabled with nobody behind them, so that
their tasks do not hang when they run out of memory (v1: writes 0 to memory.oom_control; v2: puts
memory.high, memory.max and cgroup.freeze back as the guard had found them). A group that has a live
guardian or sentinel behind it is refused.

Options:
  --recursive   also the groups below
  --force       also where somebody is behind it; a guard may disable the killer again
  --help        this text

Exit status: 0 all of them have their killer, 1 at least one was refused or failed, 2 usage.
`

/** False: it was refused. */
export async function giveBack(held: HeldGroup, force: boolean): Promise<boolean> {
  const orphan = held.behind.length === 0 && held.certain
  if (!orphan && !force) {
    process.stderr.write(
      `${shown(held.path)}: refused, behind it: ${behindText(held)} (--force does it all the same)\n`,
    )
    return false
  }
  await using group = await MemoryGroup.open(held.path)
  // Its owner may have put another one in its place, that somebody is behind.
  if (handleOf(group).identity !== held.identity) {
    process.stderr.write(`${shown(held.path)}: is another group by now: look again\n`)
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
    orphan ? '' : `by force, behind it: ${behindText(held)}`,
  ].filter(Boolean)
  process.stdout.write(`${shown(held.path)}: killer given back (${details.join(', ')})\n`)
  return true
}

async function rescueOne(path: string, recursive: boolean, force: boolean): Promise<boolean> {
  // What is no memory group is an error, not a group whose killer is enabled.
  await using group = await MemoryGroup.open(path)
  const all = await heldGroups([group.path], { recursive: true })
  const held = recursive ? all : all.filter(one => one.path === group.path)
  let done = true
  // A group above first: those made below it from now on have their killer.
  for (const one of held) done = (await giveBack(one, force)) && done
  if (held.length === 0)
    process.stdout.write(`${shown(group.path)}: killer is enabled, nothing to do\n`)
  const left = all.filter(one => !held.includes(one) && isHeld(one.path)).length
  if (left > 0) {
    const groups = left === 1 ? '1 group below has' : `${left} groups below have`
    process.stdout.write(`${shown(group.path)}: ${groups} it disabled still (--recursive)\n`)
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
  summary: 'give the killer back to groups that nobody is behind any more',
  help,
  run,
}
