// What `cgroup-oom guard` is to guard: from its options, or from its file, whose every key is described by
// schemas/guard.json as well (test/unit/guard-config.ts holds them together). Touches nothing but that file.
import { readFile } from 'node:fs/promises'
import type { GuardOptions } from '../../../types/group.js'
import type {
  Fallback,
  HoldOptions,
  PlanAction,
  PlanStep,
  ThrashOptions,
} from '../../../types/guard.js'
import { boolean, groupPath, invalidType, invalidValue } from '../../base/args.js'
import { ACTIONS, checkGuardOptions, FALLBACKS, MAX_DELAY_MS } from '../../guard/options.js'
import { meant } from '../../base/nearest.js'

/** By a shell, or a program with its arguments. */
export type EpisodeCommand = string | readonly string[]

export interface GroupConfig {
  /** As it was given: absolute, or relative to the mount. */
  path: string
  delayMs: number
  fallback?: Fallback
  plan?: PlanStep[]
  hold?: HoldOptions
  thrash?: ThrashOptions
  onEpisode?: EpisodeCommand
  record?: string
  follow: boolean
  takeOver: boolean
}

export interface GuardConfig {
  groups: GroupConfig[]
}

export const DEFAULT_DELAY_MS = 1000

/** The file is wrong: nothing of it counts. */
export class ConfigError extends Error {}

// What a group may have; at the top of the file it is the default of all groups.
const SETTINGS = [
  'delayMs',
  'fallback',
  'plan',
  'hold',
  'thrash',
  'onEpisode',
  'record',
  'follow',
  'takeOver',
] as const
const TOP = ['$schema', 'groups', ...SETTINGS]
const GROUP = ['path', ...SETTINGS]
const HOLD = ['by', 'band', 'who', 'freeze']
const THRASH = ['stallMs', 'windowMs']

/** A plan frees no memory of its own process here: the command is in no group that it guards. */
export const STEPS: readonly PlanAction[] = ACTIONS.filter(action => action !== 'ballast')
const STEP = ['action', 'afterMs']
const STEP_MORE: Partial<Record<PlanAction, string[]>> = {
  headroom: ['bytes'],
  signal: ['signal', 'to'],
}

type Dictionary = Record<string, unknown>

function dictionary(name: string, value: unknown): Dictionary {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value)
  }
  return value as Dictionary
}

function onlyKeys(name: string, value: unknown, keys: readonly string[]): Dictionary {
  const found = dictionary(name, value)
  const wrong = Object.keys(found).find(key => !keys.includes(key))
  if (wrong === undefined) return found
  throw invalidValue(
    name,
    `has no "${wrong}"${meant(wrong, keys) || `, but ${keys.join(', ')}`}`,
    value,
  )
}

function commandOf(value: unknown): EpisodeCommand {
  if (typeof value === 'string' && value.trim() !== '') return value
  const words = Array.isArray(value) ? (value as unknown[]) : []
  if (words.length > 0 && words.every(word => typeof word === 'string') && words[0] !== '') {
    return words
  }
  throw invalidType(
    'onEpisode',
    'a command for a shell, or an array of a program and its arguments',
    value,
  )
}

function stepKeys(step: unknown, i: number): void {
  const name = `plan[${i}]`
  const { action } = dictionary(name, step)
  if (!STEPS.includes(action as PlanAction)) {
    const near = typeof action === 'string' ? meant(action, STEPS) : ''
    throw invalidValue(`${name}.action`, `must be one of: ${STEPS.join(', ')}${near}`, action)
  }
  onlyKeys(name, step, [...STEP, ...(STEP_MORE[action as PlanAction] ?? [])])
}

/** The rules of guard(), with its names as the file has them. */
function asGuard(options: Dictionary): void {
  try {
    checkGuardOptions(options as unknown as GuardOptions)
  } catch (error) {
    const { message } = error as Error
    const { fallback } = options
    const near = typeof fallback === 'string' && message.includes('options.fallback')
    const more = near ? meant(fallback, FALLBACKS) : ''
    throw new TypeError(`${message.replace('"options.', '"')}${more}`, { cause: error })
  }
}

/** One group's configuration, checked; the members of a group are nobody's children here. */
export function groupConfig(value: unknown): GroupConfig {
  const given = onlyKeys('group', value, GROUP)
  const { path, delayMs = DEFAULT_DELAY_MS } = given
  const { fallback, plan, hold, thrash, onEpisode, record } = given
  if (Array.isArray(plan)) plan.forEach(stepKeys)
  if (hold !== undefined) onlyKeys('hold', hold, HOLD)
  if (thrash !== undefined) onlyKeys('thrash', thrash, THRASH)
  const options = { delayMs, fallback, plan, hold, thrash, record }
  asGuard(options)
  return {
    path: groupPath('path', path),
    delayMs: delayMs as number,
    ...(fallback === undefined ? {} : { fallback: fallback as Fallback }),
    ...(plan === undefined ? {} : { plan: plan as PlanStep[] }),
    hold: { who: 'members', ...(hold as HoldOptions | undefined) },
    ...(thrash === undefined ? {} : { thrash: thrash as ThrashOptions }),
    ...(onEpisode === undefined ? {} : { onEpisode: commandOf(onEpisode) }),
    ...(record === undefined ? {} : { record: record as string }),
    follow: boolean('follow', given.follow, false),
    takeOver: boolean('takeOver', given.takeOver, false),
  }
}

function within<T>(where: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    throw new ConfigError(`${where}: ${(error as Error).message}`, { cause: error })
  }
}

/** What a file holds, as JSON.parse() gives it. */
export function configOf(value: unknown): GuardConfig {
  const top = within('the file', () => onlyKeys('file', value, TOP))
  const { groups, $schema } = top
  if ($schema !== undefined && typeof $schema !== 'string') {
    throw new ConfigError('$schema: must be a string')
  }
  const defaults = Object.fromEntries(
    Object.entries(top).filter(([key]) => SETTINGS.includes(key as never)),
  )
  // The defaults are checked on their own, so that an error names where it is.
  within('the file', () => groupConfig({ ...defaults, path: '.' }))
  if (!Array.isArray(groups) || groups.length === 0) {
    throw new ConfigError('groups: must be an array of at least one group')
  }
  const checked = (groups as unknown[]).map((group, i) =>
    within(`groups[${i}]`, () => {
      const own = typeof group === 'string' ? { path: group } : dictionary('group', group)
      return groupConfig({ ...defaults, ...own })
    }),
  )
  const paths = checked.map(({ path }) => path)
  const double = paths.find((path, i) => paths.indexOf(path) !== i)
  if (double !== undefined) throw new ConfigError(`groups: '${double}' is there twice`)
  return { groups: checked }
}

export async function readConfig(file: string): Promise<GuardConfig> {
  try {
    return configOf(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message}`, { cause: error })
  }
}

const NUMBER = /^\d+$/

/** 'MS:ACTION[:VALUE[:TO]]', several with commas between them. */
export function planOf(texts: readonly string[]): unknown[] {
  const steps = texts.flatMap(text => text.split(','))
  return steps.map(text => {
    const [after = '', action = '', value, to, ...rest] = text.trim().split(':')
    if (!NUMBER.test(after) || rest.length > 0) {
      throw invalidValue('--plan', 'must be MS:ACTION[:VALUE[:TO]], as 0:headroom:32M', text)
    }
    const step: Dictionary = { afterMs: Number(after), action }
    if (value !== undefined) step[action === 'signal' ? 'signal' : 'bytes'] = value
    if (to !== undefined) step.to = NUMBER.test(to) ? Number(to) : to
    return step
  })
}

/** 'STALL/WINDOW', milliseconds. */
export function thrashOf(text: string): unknown {
  const [stall = '', window = '', ...rest] = text.split('/')
  if (!NUMBER.test(stall) || !NUMBER.test(window) || rest.length > 0) {
    throw invalidValue('--thrash', 'must be STALL/WINDOW in milliseconds, as 600/2000', text)
  }
  return { stallMs: Number(stall), windowMs: Number(window) }
}

export function millisecondsOf(name: string, text: string): number {
  if (NUMBER.test(text) && Number(text) <= MAX_DELAY_MS) return Number(text)
  throw invalidValue(name, `must be whole milliseconds, at most ${MAX_DELAY_MS}`, text)
}
