// cgroup-oom watch: the events of groups, one a line, until SIGINT or SIGTERM, or until the last of
// them is gone.
import type { OomEvent, OomWatch } from '../../types/watch.js'
import { groupPath } from '../base/args.js'
import { MemoryGroup } from '../group/memory-group.js'
import { watchTree } from '../watch/watch.js'
import { checked, groupsOf, parse, type Command } from './command.js'
import { count, shown, wallClock } from './format.js'
import { metricsAddress, serveMetrics } from './metrics-server.js'
import { OomMetrics } from '../metrics/metrics.js'

const help = `Usage: cgroup-oom watch GROUP… [--tree] [--metrics ADDRESS] [--json]

Prints what happens in groups, one event a line: time (UTC), type, group, count, origin. Types: oom (it
ran out of memory), kill (the kernel killed), removed (its last event), overflow (count events were
lost). Origin, of an oom: self, ancestor or unknown. What a type does not have is "-". Changes nothing.
Ends with SIGINT, SIGTERM, or when all groups are gone.

Options:
  --tree             also the groups below, new ones as they appear
  --metrics ADDRESS  [HOST:]PORT at which Prometheus gets /metrics, of the GROUPs as they are named;
                     HOST: 127.0.0.1; PORT 0: a free one
  --json             one JSON object a line, with the group's counters
  --help             this text

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

/** A group as it was named, and the watch of it or of its tree. */
interface Watched {
  group: MemoryGroup
  watch: OomWatch
}

async function start(path: string, tree: boolean): Promise<Watched> {
  const group = await MemoryGroup.open(path)
  try {
    const watch = tree ? watchTree(group.path) : group.watch()
    await watch.ready
    return { group, watch }
  } catch (error) {
    await group.close()
    throw error
  }
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      tree: { type: 'boolean' },
      metrics: { type: 'string' },
      json: { type: 'boolean' },
    },
  })
  const paths = groupsOf(positionals).map(path => checked(() => groupPath('GROUP', path)))
  const address = checked(() =>
    values.metrics === undefined ? undefined : metricsAddress(values.metrics),
  )
  const json = values.json === true
  const watched: Watched[] = []
  const metrics = new OomMetrics()
  let server: Awaited<ReturnType<typeof serveMetrics>> | undefined
  const stop = () => watched.forEach(({ watch }) => void watch.return())
  try {
    for (const path of paths) {
      watched.push(await start(path, values.tree === true))
      metrics.add(watched.at(-1)!.group)
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
    if (address !== undefined) {
      server = await serveMetrics(metrics, address)
      process.stderr.write(`metrics at ${server.url}\n`)
    }
    process.stderr.write(`watching ${count(watched.length, values.tree ? 'tree' : 'group')}\n`)
    await Promise.all(
      watched.map(async ({ group, watch }) => {
        for await (const event of watch) {
          metrics.count(event, group.path)
          process.stdout.write(`${lineOf(event, json)}\n`)
        }
      }),
    )
    return 0
  } finally {
    server?.close()
    stop()
    await Promise.all(watched.map(({ group }) => group.close()))
  }
}

export const watch: Command = {
  name: 'watch',
  summary: 'print the events of groups, one a line',
  help,
  run,
}
