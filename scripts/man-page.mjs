// Makes man/cgroup-oom.1 from the commands' help texts and the examples of docs/cli.md, which test/kernel/docs/cli.ts
// compares and runs; with --check it only compares.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fail, root } from './run.mjs'
import './typescript.mjs'

const { COMMANDS, OVERVIEW } = await import('../lib/cli/commands.ts')
const { parseHelp } = await import('../lib/cli/help.ts')

const read = name => readFileSync(join(root, name), 'utf8')
const { name, version, description } = JSON.parse(read('package.json'))
const FILE = 'man/cgroup-oom.1'
// Each shows one thing: the first of these in docs/cli.md.
const EXAMPLES = [
  ['Run a command in a group of 64 MiB, without any preparation:', 'run --max 64M --'],
  ['If it is out of memory, have it wait for at most half a second:', 'run --max 64M --delay'],
  ['Guard a group that exists already:', 'guard --delay'],
  ['Print what happens in a group and in those below:', 'watch --tree'],
  ['Release a group that no live process holds:', 'rescue /'],
]

/** A paragraph in lines of at most 78 characters; none begins as a request would. */
function filled(text) {
  const lines = ['']
  for (const word of plain(text.replaceAll('\n', ' ')).split(' ')) {
    const line = lines.at(-1)
    if (line !== '' && line.length + word.length > 77) lines.push(word)
    else lines[lines.length - 1] += line === '' ? word : ` ${word}`
  }
  return lines.join('\n').replace(/^(?=[.'])/gm, '\\&')
}

/** Text as it stands, for troff. */
function plain(text) {
  const line = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/[^\n -~]/gu, char => {
      const code = char.codePointAt(0).toString(16).toUpperCase()
      return `\\[u${code.padStart(4, '0')}]`
    })
  // A request where a line begins so.
  return line.replace(/^(?=[.'])/gm, '\\&')
}

const literal = text => `.EX\n${plain(text)}\n.EE`

/** A paragraph; one in columns keeps its lines. */
const paragraph = block =>
  /\S {2,}\S/.test(block) ? `.PP\n${literal(block)}` : `.PP\n${filled(block)}`

function option({ name, value, text }) {
  const head = value === undefined ? `.B ${plain(name)}` : `.BI "${plain(name)} " "${plain(value)}"`
  return `.TP\n${head}\n${filled(text)}`
}

function command({ name, help }) {
  const { usage, before, options, after } = parseHelp(help)
  return [
    `.SS ${name}`,
    `.B cgroup\\-oom ${plain(usage.replaceAll('\n', ' '))}`,
    ...before.map(paragraph),
    ...options.map(option),
    ...after.map(paragraph),
  ].join('\n')
}

const cli = read('docs/cli.md')
function example([text, words]) {
  const line = cli.split('\n').find(one => one.startsWith(`$ cgroup-oom ${words}`))
  return `${filled(text)}\n.PP\n${literal(line)}`
}

const [, about] = OVERVIEW.split('\n\n')
const page = `.\\" Made by "npm run docs:man" from the help texts in lib/cli/ and from docs/cli.md: change it there.
.TH CGROUP\\-OOM 1 "" "${name} ${version}" "User Commands"
.SH NAME
cgroup\\-oom \\- ${plain(description.replace(/\.$/, '').replace(/^D/, 'd'))}
.SH SYNOPSIS
${COMMANDS.map(({ help }) => `.B cgroup\\-oom ${plain(parseHelp(help).usage.replaceAll('\n', ' '))}`).join('\n.br\n')}
.br
.B cgroup\\-oom \\-\\-version
.SH DESCRIPTION
${filled(about)}
.PP
${filled(OVERVIEW.trimEnd().split('\n\n').at(-1))}
.SH COMMANDS
${COMMANDS.map(command).join('\n')}
.SH EXIT STATUS
Each command has its own, see above.
2: the command line is wrong, and nothing has been touched.
.SH EXAMPLES
${EXAMPLES.map(example).join('\n.PP\n')}
.SH SEE ALSO
.BR cgroups (7),
.BR systemd\\-oomd.service (8)
.PP
The package has documents in docs/: docs/cli.md is about the command line,
docs/guarantees.md about what is promised.
`

const file = join(root, FILE)
if (process.argv.includes('--check')) {
  if (read(FILE) !== page) fail(`${FILE} is out of date: npm run docs:man`)
} else {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, page)
}
