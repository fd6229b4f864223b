// cgroup-oom guard: groups that exist already, guarded by the options of the command line or by a file, until
// SIGINT or SIGTERM, or until the last of them is gone.
import { complain } from './format.js'
import { checked, groupsOf, parse, UsageError, type Command } from './command.js'
import { Commands } from './guard/commands.js'
import {
  ConfigError,
  groupConfig,
  millisecondsOf,
  planOf,
  readConfig,
  thrashOf,
} from './guard/config.js'
import type { GroupConfig, GuardConfig } from './guard/config.js'
import { Guarded, type Surroundings } from './guard/guarded.js'
import { jsonOf, statusOf, textOf, type GuardLine } from './guard/lines.js'
import { ServiceManager } from './guard/notify.js'
import { metricsAddress, serveMetrics, type MetricsAddress } from './metrics-server.js'
import { OomMetrics } from '../metrics/metrics.js'

const help = `Usage: cgroup-oom guard [OPTIONS] GROUP…, or guard --config FILE [--metrics ADDRESS] [--json]

Guards groups that exist already, of containers, units or pods, and prints their episodes, one line each.
Ends with SIGINT, SIGTERM, or when all groups are gone; the groups are as before then.

Options:
  --delay MS          how long a group that is out of memory may wait; default: 1000
  --plan STEPS        MS:ACTION[:VALUE[:TO]], with commas: 0:headroom:32M,500:signal:SIGTERM:largest
  --fallback F        at the deadline: kernel (default), kill-largest (default by signals), kill-newest, kill-group
  --hold BY           kernel (default), signals (nothing is written), or auto
  --thrash STALL/WIN  also where all tasks stall for STALL ms within WIN ms at the limit, as 600/2000 (v2)
  --on-episode CMD    run by a shell for each episode: JSON on stdin, CGROUP_OOM_* variables
  --record FILE       append each episode to FILE, which cgroup-oom report shows
  --follow            wait for a group that is gone or not there yet, and guard it
  --take-over         also guard a group whose killer is disabled already
  --config FILE       all of this as JSON; SIGHUP reads it again
  --metrics ADDRESS   [HOST:]PORT at which Prometheus gets /metrics; HOST: 127.0.0.1; PORT 0: a free one
  --json              one JSON object a line
  --help              this text

Exit status: 0 ended, 1 a group cannot be guarded, 2 usage, or FILE is wrong.
`

interface Options {
  file: string | undefined
  json: boolean
  metrics: MetricsAddress | undefined
  read: () => Promise<GuardConfig>
}

const OF_GROUPS = [
  'delay',
  'plan',
  'fallback',
  'hold',
  'thrash',
  'on-episode',
  'record',
  'follow',
  'take-over',
] as const

function optionsOf(args: string[]): Options {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      delay: { type: 'string' },
      plan: { type: 'string', multiple: true },
      fallback: { type: 'string' },
      hold: { type: 'string' },
      thrash: { type: 'string' },
      'on-episode': { type: 'string' },
      record: { type: 'string' },
      follow: { type: 'boolean' },
      'take-over': { type: 'boolean' },
      config: { type: 'string' },
      metrics: { type: 'string' },
      json: { type: 'boolean' },
    },
  })
  const json = values.json === true
  const metrics = checked(() =>
    values.metrics === undefined ? undefined : metricsAddress(values.metrics),
  )
  const { config: file, delay, plan, fallback, hold, thrash } = values
  if (file !== undefined) {
    const both = OF_GROUPS.find(name => values[name] !== undefined)
    if (both !== undefined)
      throw new UsageError(`--${both} is in the FILE of --config, or there is none`)
    if (positionals.length > 0)
      throw new UsageError('groups are in the FILE of --config, or there is none')
    return { file, json, metrics, read: () => readConfig(file) }
  }
  const groups = checked(() =>
    groupsOf(positionals).map(path =>
      groupConfig({
        path,
        ...(delay === undefined ? {} : { delayMs: millisecondsOf('--delay', delay) }),
        ...(plan === undefined ? {} : { plan: planOf(plan) }),
        fallback,
        ...(hold === undefined ? {} : { hold: { by: hold } }),
        ...(thrash === undefined ? {} : { thrash: thrashOf(thrash) }),
        onEpisode: values['on-episode'],
        record: values.record,
        follow: values.follow,
        takeOver: values['take-over'],
      }),
    ),
  )
  return { file, json, metrics, read: async () => ({ groups }) }
}

/** All groups of one command. */
class Guards {
  readonly #guarded = new Map<string, Guarded>()
  readonly #around: Surroundings
  #wanted = 0
  #stopped = false

  constructor(print: Surroundings['print'], metrics: OomMetrics) {
    const commands = new Commands((group, message) => print({ type: 'command', group, message }))
    this.#around = { print, commands, metrics }
  }

  /** How many there are to be, and how many of them are guarded now. */
  get numbers(): { armed: number; groups: number } {
    const armed = [...this.#guarded.values()].filter(({ guard }) => guard !== undefined).length
    return { armed, groups: this.#wanted }
  }

  /** Guards all of them, or throws. */
  async start({ groups }: GuardConfig): Promise<void> {
    this.#wanted = groups.length
    for (const group of groups) await this.#add(group, false)
  }

  /** `patient`: one that cannot be guarded is printed, and tried again. */
  async #add(config: GroupConfig, patient: boolean): Promise<void> {
    const guarded = await Guarded.start(config, this.#around, { patient })
    this.#guarded.set(config.path, guarded)
    if (this.#stopped) await guarded.stop(false)
  }

  /** Adds, takes away and changes groups. What cannot be guarded is printed, and the others are. */
  async reload({ groups }: GuardConfig): Promise<void> {
    this.#wanted = groups.length
    const settle = async ({ path }: GroupConfig, work: () => Promise<void>) => {
      try {
        await work()
      } catch (error) {
        const { message, code } = error as NodeJS.ErrnoException
        this.#around.print({ type: 'failed', group: path, message, code })
      }
    }
    const left = [...this.#guarded.values()].filter(
      ({ config }) => !groups.some(({ path }) => path === config.path),
    )
    await Promise.all([
      ...left.map(guarded => {
        this.#guarded.delete(guarded.config.path)
        return settle(guarded.config, () => guarded.stop(true))
      }),
      ...groups.map(group => settle(group, () => this.#set(group))),
    ])
  }

  async #set(group: GroupConfig): Promise<void> {
    const guarded = this.#guarded.get(group.path)
    if (guarded === undefined || guarded.over) return this.#add(group, true)
    if (JSON.stringify(guarded.config) !== JSON.stringify(group)) await guarded.change(group)
  }

  /** Resolves when none is left. */
  async ended(): Promise<void> {
    const running = () => [...this.#guarded.values()].filter(({ over }) => !over)
    while (running().length > 0) await Promise.all(running().map(({ ended }) => ended))
  }

  /** Puts everything back. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#guarded.values()].map(guarded => guarded.stop(false)))
    this.#around.commands.stop()
  }
}

function printer(json: boolean): (line: GuardLine) => void {
  return line => {
    if (json) process.stdout.write(`${jsonOf(line)}\n`)
    else if (line.type === 'ready') process.stderr.write(`${statusOf(line)}\n`)
    else if (line.type === 'metrics') process.stderr.write(`metrics at ${line.url}\n`)
    else if (line.type === 'problem') complain('cgroup-oom guard', line.message)
    else process.stdout.write(`${textOf(line)}\n`)
  }
}

async function runGuard(args: string[]): Promise<number> {
  const { file, json, metrics: address, read } = optionsOf(args)
  const print = printer(json)
  const manager = new ServiceManager(message => print({ type: 'problem', message }))
  const metrics = new OomMetrics()
  const guards = new Guards(print, metrics)
  let server: Awaited<ReturnType<typeof serveMetrics>> | undefined
  let stop!: () => void
  const stopped = new Promise<void>(resolve => (stop = resolve))
  // One after the other: the start, and each time that the file is read again.
  let turn: Promise<void> = Promise.resolve()

  const reload = async () => {
    await manager.reloading()
    try {
      await guards.reload(await read())
      print({ type: 'reloaded', ...guards.numbers })
    } catch (error) {
      print({ type: 'problem', message: `${(error as Error).message} (nothing has changed)` })
    }
    await manager.ready(statusOf(guards.numbers))
  }
  const onHangup = () => {
    turn = turn.then(reload)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  if (file !== undefined) process.on('SIGHUP', onHangup)

  try {
    const starting = read().then(config => guards.start(config))
    turn = starting.catch(() => {})
    await starting
    if (address !== undefined) {
      server = await serveMetrics(metrics, address)
      print({ type: 'metrics', url: server.url })
    }
    print({ type: 'ready', ...guards.numbers })
    await manager.ready(statusOf(guards.numbers))
    // A file that is read again may add some.
    const ended = async () => {
      for (let before; before !== turn;) {
        before = turn
        await guards.ended()
        await turn
      }
    }
    await Promise.race([stopped, ended()])
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    complain('cgroup-oom guard', error.message)
    return 2
  } finally {
    process.off('SIGHUP', onHangup)
    server?.close()
    const told = manager.stopping()
    await guards.stop()
    await turn
    await told
  }
}

export const guard: Command = {
  name: 'guard',
  summary: 'guard groups that exist already, by options or a file',
  outlivesOutput: true,
  help,
  run: runGuard,
}
