// cgroup-oom rescue: releases groups that are held although no live process holds them. Refuses if a
// guardian or sentinel is alive, which relies on its hold.
import { groupPath } from '../base/args.js'
import { fromNative } from '../base/errors.js'
import { MemoryGroup } from '../group/memory-group.js'
import { handleOf } from '../handle/handle.js'
import { absoluteGroupPath } from '../handle/hierarchy.js'
import { checked, groupsOf, parse, type Command } from './command.js'
import { count, shown } from './format.js'
import { heldGroups, holdersText, isHeld, type HeldGroup, isOrphan } from './held-groups.js'

const help = `Usage: cgroup-oom rescue GROUP… [--recursive] [--force] [--json]

Releases groups to the kernel's killer that are held although no live process holds them, so that their
tasks do not hang when they run out of memory (v1: writes 0 to memory.oom_control; v2: restores
memory.high, memory.max and cgroup.freeze as the guard had found them). A group that a live guardian or
sentinel holds is refused.

Options:
  --recursive   also the groups below
  --force       also if a live process holds the group; its guard may hold it again
  --json        one JSON object a line for each group, on stdout
  --help        this text

Exit status: 0 all of them are released, 1 at least one was refused or failed, 2 usage.
`

type Result = 'released' | 'nothing' | 'left' | 'refused' | 'replaced' | 'failed'
/** Of a group: what became of it, in a word and in a sentence. */
type Print = (group: string, result: Result, text: string) => void

const BAD: readonly Result[] = ['refused', 'replaced', 'failed']

function printer(json: boolean): Print {
  return (group, result, text) => {
    const line = json ? JSON.stringify({ group, result, text }) : `${shown(group)}: ${shown(text)}`
    const stream = !json && BAD.includes(result) ? process.stderr : process.stdout
    stream.write(`${line}\n`)
  }
}

/** False: it was refused. */
export async function release(
  held: HeldGroup,
  force: boolean,
  print: Print = printer(false),
): Promise<boolean> {
  const orphan = isOrphan(held)
  if (!orphan && !force) {
    const text = `refused, held by ${holdersText(held)} (--force releases it all the same)`
    print(held.path, 'refused', text)
    return false
  }
  await using group = await MemoryGroup.open(held.path)
  // Its owner may have replaced it by another group, which a live process may hold.
  if (handleOf(group).identity !== held.identity) {
    const text = 'has become another group in the meantime: run the command again'
    print(held.path, 'replaced', text)
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
  print(held.path, 'released', `released (${details.join(', ')})`)
  return true
}

interface Options {
  recursive: boolean
  force: boolean
  print: Print
}

async function rescueOne(path: string, { recursive, force, print }: Options): Promise<boolean> {
  // A path that is no memory group is an error, not a group whose killer is enabled.
  await using group = await MemoryGroup.open(path)
  const all = await heldGroups([group.path], { recursive: true })
  const held = recursive ? all : all.filter(one => one.path === group.path)
  let done = true
  // Release a group above first: on v1 those made below it from then on are born with their killer.
  for (const one of held) done = (await release(one, force, print)) && done
  if (held.length === 0) print(group.path, 'nothing', 'killer is enabled, nothing to do')
  const left = all.filter(one => !held.includes(one) && isHeld(one.path)).length
  if (left > 0) {
    const groups = left === 1 ? '1 group below has' : `${left} groups below have`
    print(group.path, 'left', `${groups} the killer disabled still (--recursive)`)
  }
  return done
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      recursive: { type: 'boolean' },
      force: { type: 'boolean' },
      json: { type: 'boolean' },
    },
  })
  const groups = groupsOf(positionals).map(path => checked(() => groupPath('GROUP', path)))
  const { recursive = false, force = false } = values
  const print = printer(values.json === true)
  let status = 0
  for (const path of groups) {
    try {
      if (!(await rescueOne(path, { recursive, force, print }))) status = 1
    } catch (error) {
      print(await absoluteGroupPath(path), 'failed', (error as Error).message)
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
