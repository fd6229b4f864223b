#!/usr/bin/env node
// The command line: `cgroup-oom COMMAND`. Finds the command and turns what it throws into a message and an exit
// status: 2 for a wrong command line, 1 for all else.
import { existsSync } from 'node:fs'
import { VERSION } from './base/version.js'
import { UnexpectedWord, UsageError, type Command } from './cli/command.js'
import { COMMANDS, OVERVIEW } from './cli/commands.js'
import { complain, quote } from './cli/format.js'
import { meant } from './base/nearest.js'
import { absoluteGroupPath } from './handle/hierarchy.js'

/** Whether the command's own options ask for help: what follows `--` belongs to another command. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  const own = end < 0 ? args : args.slice(0, end)
  return own.includes('--help') || own.includes('-h')
}

/** `run true`: what was probably meant. */
function dashesBefore(word: string, { name }: Command, args: readonly string[]): string {
  if (name !== 'run' || args.includes('--')) return ''
  const at = args.indexOf(word)
  const line = [...args.slice(0, at), '--', ...args.slice(at)].map(quote).join(' ')
  return `: put -- before the command: cgroup-oom run ${line}`
}

/** Of a group that is not there: where a name that does not begin with "/" begins. */
async function relativeHint(
  error: NodeJS.ErrnoException,
  args: readonly string[],
): Promise<string> {
  if (error.code !== 'ENOENT' || error.path === undefined) return ''
  const { path } = error
  const relative = path.replace(/^\/+/, '')
  const below = await absoluteGroupPath(relative).catch(() => undefined)
  if (args.includes(path) && below !== undefined && existsSync(below)) {
    return ` (no such directory; "${relative}", without the slash, is a group: names as in /proc/PID/cgroup are relative to the hierarchy's mount)`
  }
  for (const arg of args.filter(one => !/^[-/]/.test(one))) {
    const at = await absoluteGroupPath(arg).catch(() => undefined)
    if (at === error.path) return ` (no such group; "${arg}" is relative to the hierarchy's mount)`
  }
  return ''
}

async function main([name, ...args]: string[]): Promise<number> {
  if (name === '--help' || name === '-h' || name === 'help') {
    const about = name === 'help' && COMMANDS.find(one => one.name === args[0])
    process.stdout.write(about ? about.help : OVERVIEW)
    return 0
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${VERSION}\n`)
    return 0
  }
  const command = COMMANDS.find(one => one.name === name)
  if (command === undefined) {
    const names = COMMANDS.map(one => one.name)
    const problem =
      name === undefined
        ? 'a command is missing'
        : `unknown command: ${name}${meant(name, names, word => word)}`
    process.stderr.write(`${OVERVIEW}\n`)
    complain('cgroup-oom', problem)
    return 2
  }
  if (asksForHelp(args)) {
    process.stdout.write(command.help)
    return 0
  }
  running = command
  try {
    return await command.run(args)
  } catch (error) {
    const { message } = error as Error
    if (error instanceof UsageError) {
      const hint = error instanceof UnexpectedWord ? dashesBefore(error.word, command, args) : ''
      process.stderr.write(`${command.help}\n`)
      complain(`cgroup-oom ${command.name}`, `${message}${hint}`)
      return 2
    }
    const hint = await relativeHint(error as NodeJS.ErrnoException, args)
    complain(`cgroup-oom ${command.name}`, `${message}${hint}`)
    return 1
  }
}

let running: Command | undefined
let told = false

// A reader that has seen enough (`| head`) ends the command, unless groups would be without a guard then; one of
// messages alone does not.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  const goesOn = running?.outlivesOutput === true
  if (code === 'EPIPE' && !goesOn) process.exit(0)
  const name = running === undefined ? 'cgroup-oom' : `cgroup-oom ${running.name}`
  const then = goesOn ? ': guarding goes on without output' : ''
  if (!told) complain(name, `stdout: ${message}${then}`)
  told = true
  if (!goesOn) process.exit(1)
})
process.stderr.on('error', () => {})

// Until it is known: not even a program that comes to its end too soon may pass for a success.
process.exitCode = 1
void main(process.argv.slice(2)).then(status => {
  process.exitCode = status
})
