// cgroup-oom watch: the events of groups, one a line, until SIGINT or SIGTERM, or until the last of
// them is gone.
import type { OomEvent, OomWatch } from '../../types/watch.js'
import { groupPath } from '../base/args.js'
import { MemoryGroup } from '../group/memory-group.js'
import { watchTree } from '../watch/watch.js'
import { checked, groupsOf, parse, type Command } from './command.js'
import { count, shown, wallClock } from './format.js'

const help = `Usage: cgroup-oom watch GROUP… [--tree] [--json]

Prints what happens in groups, one event a line: time (UTC), type, group, count, origin. Types: oom (it
ran out of memory), kill (the kernel killed), removed (its last event), overflow (count events were
lost). Origin, of an oom: self, ancestor or unknown. What a type does not have is "-". Changes nothing.
Ends with SIGINT, SIGTERM, or when all groups are gone.

Options:
  --tree   also the groups below, new ones as they appear
  --json   one JSON object a line, with the group's counters
  --help   this text

Exit status: 0 ended, 1 a group cannot be watched, 2 usage.
`

/** One event as a line, without its end. */
export function lineOf(event: OomEvent, json: boolean): string {
  const time = wallClock(event.at)
  if (json) return JSON.stringify({ time, ...event, at: String(event.at) })
  const group = 'group' in event ? shown(event.group) : '-'
  const times = event.type === 'overflow' ? event.missed : 'count' in event ? event.count : '-'
  const origin = event.type === 'oom' ? event.origin : '-'
  return `${time} ${event.type} ${group} ${times} ${origin}`
}

async function start(path: string, tree: boolean): Promise<OomWatch> {
  const watching = async () => {
    if (tree) return watchTree(path)
    await using group = await MemoryGroup.open(path)
    return group.watch()
  }
  const watch = await watching()
  await watch.ready
  return watch
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { tree: { type: 'boolean' }, json: { type: 'boolean' } },
  })
  const paths = groupsOf(positionals).map(path => checked(() => groupPath('GROUP', path)))
  const watches: OomWatch[] = []
  const stop = () => watches.forEach(watch => void watch.return())
  try {
    for (const path of paths) watches.push(await start(path, values.tree === true))
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
    process.stderr.write(`watching ${count(watches.length, values.tree ? 'tree' : 'group')}\n`)
    await Promise.all(
      watches.map(async watch => {
        for await (const event of watch) {
          process.stdout.write(`${lineOf(event, values.json === true)}\n`)
        }
      }),
    )
    return 0
  } finally {
    stop()
  }
}

export const watch: Command = {
  name: 'watch',
  summary: 'print the events of groups, one a line',
  help,
  run,
}
