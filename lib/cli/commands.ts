// All commands, and the help text of all.
import type { Command } from './command.js'
import { completionOf } from './completion.js'
import { doctor } from './doctor.js'
import { guard } from './guard.js'
import { report } from './report.js'
import { rescue } from './rescue.js'
import { run } from './run.js'
import { watch } from './watch.js'

const completion = completionOf(() => COMMANDS)
export const COMMANDS: readonly Command[] = [
  ...[doctor, rescue, watch, guard, run, report],
  completion,
]

export const OVERVIEW = `Usage: cgroup-oom COMMAND [OPTIONS]

Decides what happens when a Linux memory cgroup runs out of memory.

Commands:
${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`).join('\n')}

Options:
  --help      this text; after a command: how it is used
  --version   the version of cgroup-oom

A GROUP is an absolute directory, or one relative to the memory hierarchy's mount.
`
