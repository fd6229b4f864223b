// What can be completed, from the help texts: for each command its options, with what may follow each, and what may
// follow them all. Pure.
import { FALLBACKS, HOLDS } from '../../guard/options.js'
import type { Command } from '../command.js'
import { parseHelp } from '../help.js'

export const SHELLS = ['bash', 'zsh', 'fish'] as const

/** One of these words; the name of a file or a group; a command line after `--`; or what no shell can know. */
export type Values = readonly string[] | 'files' | 'groups' | 'command' | 'unknown'

export interface Row {
  /** With its dashes. */
  option: string
  text: string
  /** undefined: it takes none. */
  values: Values | undefined
  /** The value may be left out. */
  optional: boolean
}

export interface Rows {
  name: string
  summary: string
  rows: readonly Row[]
  rest: Values
}

// By the words that stand for values in the help texts. All others (MS, SIZE, NAME, …) are unknown.
const VALUES: Readonly<Record<string, Values>> = {
  FILE: 'files',
  OUT: 'files',
  GROUP: 'groups',
  F: FALLBACKS,
  BY: HOLDS,
  'bash|zsh|fish': SHELLS,
}
const valuesOf = (word: string): Values => VALUES[word.replaceAll(/[[\]…,]/g, '')] ?? 'unknown'

/** What follows the options in `doctor [--in GROUP] [--json]`, `guard [OPTIONS] GROUP…, or …`. */
function restOf(usage: string): Values {
  if (usage.includes(' -- ')) return 'command'
  const [, first = ''] = usage.replaceAll(/\[[^\]]*\] ?/g, '').split(' ')
  return valuesOf(first)
}

export function rowsOf({ name, summary, help }: Command): Rows {
  const { usage, options } = parseHelp(help)
  const rows = options.map(({ name: option, value, text }) => ({
    option,
    text: text.split(/[;:.,] /)[0]!,
    values: value === undefined ? undefined : valuesOf(value),
    optional: value?.startsWith('[') === true,
  }))
  return { name, summary, rows, rest: restOf(usage) }
}
