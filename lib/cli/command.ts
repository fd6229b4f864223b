// What the commands have in common: their interface to cli.ts, and how a wrong command line is reported.
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { meant } from '../base/nearest.js'

export interface Command {
  name: string
  /** One line for the overview. */
  summary: string
  /** The whole text of `--help`. */
  help: string
  /** Goes on where its lines can no longer be written; others end. */
  outlivesOutput?: boolean
  /** Resolves with the exit status. Throws UsageError before anything has been touched. */
  run(args: string[]): Promise<number>
}

/** The command line is wrong: cli.ts prints the message and the command's help, and exits with 2. */
export class UsageError extends Error {}

/** A word that is no option, where there may be none. */
export class UnexpectedWord extends UsageError {
  constructor(readonly word: string) {
    super(`unexpected word: ${word}`)
  }
}

/** util.parseArgs, with its complaints as UsageErrors: of an unknown option with the nearest one. */
export function parse<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  return checked(() => {
    try {
      return parseArgs(config)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const [, wrong] = /'([^']*)'/.exec(message) ?? []
      if (wrong === undefined) throw error
      if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') throw new UnexpectedWord(wrong)
      if (code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION') throw error
      const options = [...Object.keys(config.options ?? {}), 'help'].map(name => `--${name}`)
      throw new UsageError(`unknown option ${wrong}${meant(wrong, options, word => word)}`)
    }
  })
}

/** Calls a check of an argument, whose TypeErrors and RangeErrors are the command line's. */
export function checked<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message, { cause: error })
    }
    throw error
  }
}

/** The groups of a command line: at least one. */
export function groupsOf(positionals: readonly string[]): readonly string[] {
  if (positionals.length === 0) throw new UsageError('a GROUP is missing')
  return positionals
}
