// The command line of `cgroup-oom run`: its options, checked.
import type { Fallback, PolicyStep } from '../../types/guard.js'
import { groupPath, integer, invalidValue, oneOf } from '../base/args.js'
import { bytes } from '../base/bytes.js'
import { FALLBACKS, MAX_DELAY_MS } from '../guard/options.js'
import { checked, parse, UsageError } from './command.js'

export interface RunCommand {
  max: number
  delayMs: number
  fallback: Fallback | undefined
  policy: PolicyStep[]
  timeoutMs: number | undefined
  failOnOom: boolean
  observe: boolean
  /** undefined: no JSON; '': to stderr. */
  json: string | undefined
  parent: string | undefined
  settle: boolean
  name: string
  quiet: boolean
  command: string
  args: readonly string[]
}

function milliseconds(option: string, text: string, least: number): number {
  if (!/^\d+$/.test(text)) throw invalidValue(option, 'must be whole milliseconds', text)
  return integer(option, Number(text), least, MAX_DELAY_MS)
}

function nameOf(text: string): string {
  groupPath('--name', text)
  if (text.includes('/') || text === '.') {
    throw invalidValue('--name', 'must be the name of one directory', text)
  }
  return text
}

/** `--json` may have a value, which parseArgs does not know: '--json=' stands for none. */
function withJson(args: readonly string[]): string[] {
  return args.map((arg, i) => {
    const next = args[i + 1]
    return arg === '--json' && (next === undefined || next.startsWith('-')) ? '--json=' : arg
  })
}

export function runOptions(args: readonly string[]): RunCommand {
  const end = args.indexOf('--')
  const { values } = parse({
    args: withJson(end < 0 ? args : args.slice(0, end)),
    options: {
      max: { type: 'string' },
      delay: { type: 'string' },
      fallback: { type: 'string' },
      raise: { type: 'string' },
      timeout: { type: 'string' },
      'fail-on-oom': { type: 'boolean' },
      observe: { type: 'boolean' },
      json: { type: 'string' },
      parent: { type: 'string' },
      settle: { type: 'boolean' },
      name: { type: 'string' },
      quiet: { type: 'boolean' },
    },
  })
  const [command, ...rest] = end < 0 ? [] : args.slice(end + 1)
  if (command === undefined || command === '') throw new UsageError('a COMMAND is missing after --')
  const { max, delay, fallback, raise, timeout, parent, name, observe = false } = values
  const { settle } = values
  for (const [option, value] of Object.entries({ fallback, raise })) {
    if (value !== undefined && delay === undefined) {
      throw new UsageError(`--${option} is what happens within --delay, which is missing`)
    }
  }
  if (settle === true && parent !== undefined) {
    throw new UsageError('--settle makes room where you are: it does not go with --parent')
  }
  for (const [option, value] of Object.entries({ max, delay, parent, settle, name })) {
    if (observe && value !== undefined) {
      throw new UsageError(
        `--${option} is about a group of the command's own: --observe makes none`,
      )
    }
  }
  return checked(() => ({
    max: bytes('--max', max ?? 'max', { max: true }),
    delayMs: delay === undefined ? 0 : milliseconds('--delay', delay, 0),
    fallback: fallback === undefined ? undefined : oneOf('--fallback', fallback, FALLBACKS),
    policy: raise === undefined ? [] : [{ raise: bytes('--raise', raise) }],
    timeoutMs: timeout === undefined ? undefined : milliseconds('--timeout', timeout, 1),
    failOnOom: values['fail-on-oom'] === true,
    observe,
    json: values.json,
    parent: parent === undefined ? undefined : groupPath('--parent', parent),
    settle: settle === true,
    name: nameOf(name ?? `cgroup-oom-run-${process.pid}`),
    quiet: values.quiet === true,
    command,
    args: rest,
  }))
}
