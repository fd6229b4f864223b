// Checks of what spawn() gives its own meaning to: the command, its arguments, the shell, argv[0],
// stdio and the ids. All other options go to child_process.spawn as they are, which checks them
// before it starts anything.
import type { SpawnOptions } from 'node:child_process'
import { invalidType, invalidValue, list } from '../base/args.js'
import type { CommandLine } from './launch.js'

function text(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value)
  if (value.includes('\0')) throw invalidValue(name, 'must be a string without null bytes', value)
  return value
}

function checkId(name: string, value: unknown): void {
  // undefined and null: stay.
  if ((value ?? undefined) === undefined || value === (value as number) >> 0) return
  throw invalidType(name, 'int32', value)
}

/** The command line that child_process.spawn would make of it, or what it would throw. */
export function checkCommand(command: unknown, args: unknown, options: SpawnOptions): CommandLine {
  const file = text('command', command)
  if (file.length === 0) throw invalidValue('command', 'cannot be empty', command)
  const words = list('args', args).map((value, i) => text(`args[${i}]`, value))
  const argv0 = options.argv0 ?? undefined
  if (argv0 !== undefined) text('options.argv0', argv0)
  checkId('options.uid', options.uid)
  checkId('options.gid', options.gid)
  checkStdio(options.stdio)

  const shell: unknown = options.shell ?? undefined
  if (shell !== undefined && typeof shell !== 'boolean') text('options.shell', shell)
  if (shell === undefined || shell === false || shell === '') {
    return { file, argv: [argv0 ?? file, ...words] }
  }
  const program = typeof shell === 'string' ? shell : '/bin/sh'
  return { file: program, argv: [argv0 ?? program, '-c', [file, ...words].join(' ')] }
}

function checkStdio(stdio: unknown): void {
  if (!stdio || Array.isArray(stdio)) return
  if (!['ignore', 'pipe', 'overlapped', 'inherit'].includes(stdio as string)) {
    throw invalidValue('stdio', 'is invalid', stdio)
  }
}

/** `(command, args?, options?)` and `(command, options?)`, as Node.js distinguishes them; nothing is checked. */
export function argsAndOptions(
  second: unknown,
  third: unknown,
): { args: unknown; options: unknown } {
  if (Array.isArray(second) || (second ?? undefined) === undefined) {
    return { args: second ?? [], options: third }
  }
  return typeof second === 'object'
    ? { args: [], options: second }
    : { args: second, options: third }
}
