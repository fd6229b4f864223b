#!/usr/bin/env node
// The command line: `cgroup-oom doctor | rescue | watch | guard | run | report`. Finds the command and turns what it
// throws into a message and an exit status: 2 for a wrong command line, 1 for all else.
import { VERSION } from './base/version.js'
import { UsageError, type Command } from './cli/command.js'
import { doctor } from './cli/doctor.js'
import { guard } from './cli/guard.js'
import { report } from './cli/report.js'
import { rescue } from './cli/rescue.js'
import { run } from './cli/run.js'
import { watch } from './cli/watch.js'

const COMMANDS: readonly Command[] = [doctor, rescue, watch, guard, run, report]

const OVERVIEW = `Usage: cgroup-oom COMMAND [OPTIONS]

Decides what happens when a Linux memory cgroup runs out of memory.

Commands:
${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`).join('\n')}

Options:
  --help      this text; after a command: how it is used
  --version   the version of cgroup-oom

A GROUP is an absolute directory, or one relative to the memory hierarchy's mount.
`

/** Whether the command's own options ask for help: what follows `--` belongs to another command. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  const own = end < 0 ? args : args.slice(0, end)
  return own.includes('--help') || own.includes('-h')
}

async function main([name, ...args]: string[]): Promise<number> {
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(OVERVIEW)
    return 0
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${VERSION}\n`)
    return 0
  }
  const command = COMMANDS.find(one => one.name === name)
  if (command === undefined) {
    const problem = name === undefined ? 'a command is missing' : `unknown command: ${name}`
    process.stderr.write(`cgroup-oom: ${problem}\n\n${OVERVIEW}`)
    return 2
  }
  if (asksForHelp(args)) {
    process.stdout.write(command.help)
    return 0
  }
  try {
    return await command.run(args)
  } catch (error) {
    const { message } = error as Error
    if (error instanceof UsageError) {
      process.stderr.write(`cgroup-oom ${command.name}: ${message}\n\n${command.help}`)
      return 2
    }
    process.stderr.write(`cgroup-oom ${command.name}: ${message}\n`)
    return 1
  }
}

// A reader that has seen enough (`| head`) ends the command; one of messages alone does not.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})
process.stderr.on('error', () => {})

// Until it is known: not even a program that comes to its end too soon may pass for a success.
process.exitCode = 1
void main(process.argv.slice(2)).then(status => {
  process.exitCode = status
})
