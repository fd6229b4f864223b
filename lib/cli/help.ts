// A command's help text, taken apart: for the completion of shells, and for the page of man(1). Pure.

export interface HelpOption {
  /** With its dashes. */
  name: string
  /** What stands for its value, '[FILE]' where that may be left out; undefined: it has none. */
  value: string | undefined
  text: string
}

export interface Help {
  /** The command line, without the name of the package's command. */
  usage: string
  /** Paragraphs before the options, and after them, in their lines. */
  before: string[]
  options: HelpOption[]
  after: string[]
}

const OPTION = /^ {2}(--[a-z-]+)(?: (\[?[A-Z]+(?:\/[A-Z]+)?\]?))? {2,}(\S.*)$/

function optionsOf(lines: readonly string[]): HelpOption[] {
  const options: HelpOption[] = []
  for (const line of lines) {
    const [, name, value, text] = OPTION.exec(line) ?? []
    if (name !== undefined) options.push({ name, value, text: text! })
    else options.at(-1)!.text += ` ${line.trim()}` // goes on
  }
  return options
}

export function parseHelp(text: string): Help {
  const blocks = text.trimEnd().split('\n\n')
  const at = blocks.findIndex(block => block.startsWith('Options:\n'))
  const [usage, ...before] = blocks.slice(0, at)
  return {
    usage: usage!.replace('Usage: cgroup-oom ', ''),
    before,
    options: optionsOf(blocks[at]!.split('\n').slice(1)),
    after: blocks.slice(at + 1),
  }
}
