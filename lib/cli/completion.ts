// `cgroup-oom completion`: prints a program for a shell that completes commands, options, their values and groups.
import { rowsOf, SHELLS } from './completion/rows.js'
import { PROGRAMS } from './completion/shells.js'
import { parse, UnexpectedWord, UsageError, type Command } from './command.js'
import { meant } from '../base/nearest.js'

const help = `Usage: cgroup-oom completion bash|zsh|fish

Prints a program for the shell. With it, Tab completes commands, options, their values, groups and files.

Options:
  --help  this text

~/.bashrc:                                   source <(cgroup-oom completion bash)
~/.zshrc, after compinit:                    source <(cgroup-oom completion zsh)
~/.config/fish/completions/cgroup-oom.fish:  cgroup-oom completion fish | source

Exit status: 0 printed, 2 usage.
`

/** The command, for all commands of the package, itself among them. */
export function completionOf(commands: () => readonly Command[]): Command {
  const run = async (args: string[]): Promise<number> => {
    const { positionals } = parse({ args, allowPositionals: true })
    const [word, more] = positionals
    if (word === undefined) throw new UsageError('the shell is missing: bash, zsh or fish')
    if (more !== undefined) throw new UnexpectedWord(more)
    const shell = SHELLS.find(name => name === word)
    if (shell === undefined) {
      throw new UsageError(`no such shell: ${word}${meant(word, SHELLS, name => name)}`)
    }
    process.stdout.write(PROGRAMS[shell](commands().map(rowsOf)))
    return 0
  }
  return { name: 'completion', summary: 'prints a program for a shell', help, run }
}
