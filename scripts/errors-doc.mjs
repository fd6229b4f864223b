// Makes docs/errors.md from the table in lib/base/error-table.ts; with --check it only compares.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, root } from './run.mjs'
import './typescript.mjs'

const { OWN, SYSTEM, REMEDIES } = await import('../lib/base/error-table.ts')
const { EVERY_SWITCH } = await import('../lib/base/runtime.ts')
const file = join(root, 'docs/errors.md')
const WIDTH = 120

const HEAD = `# Errors

<!-- Made by \`npm run docs:errors\` from lib/base/error-table.ts: change it there. -->

Every failure is an \`OomError\` with a \`code\`, except wrong arguments, which are a \`TypeError\` or a \`RangeError\` as those of
Node.js. The error of a failed system call has \`errno\`, \`syscall\` and \`path\` as well. The message has what this page has,
with the paths and numbers of the case. \`await probe()\` and \`cgroup-oom doctor\` report in advance what a machine lacks.
`

// Names of files, options, calls and variables, where the messages have them bare.
const CODE =
  /(\bguard\(\{ hold: \{ by: 'signals' \} \}\)|\/proc(?:\/\w+)*|\b(?:memory|cgroup)\.(?:\w+\.)?\w+\b|\b(?:new )?(?:\w+\.)?\w+\((?:1, \{[^}]*\}|\{[^}]*\})?\)|\b\w+: (?:\{[^}]*\}|true|false)|\{ [^}]*\}|\$MEMORY_\w+|\b(?:RLIMIT|CAP|CONFIG|AF)_\w+\b|\boom-(?:guardian|launcher)\b|\boom_score_adj\b|'ballast')/g

/** With a capital, unless the first word is a name, and with names as code. */
function sentence(text) {
  const all = text.replace(/\{(read-only|delegation)\}/g, name => EVERY_SWITCH[name])
  const whole = all.replace(/^[a-z](?=[a-z]*[ ,])/, first => first.toUpperCase())
  return `${whole}.`.replace(CODE, '`$1`')
}

/** A paragraph in lines of at most WIDTH characters, all but the first indented. */
function wrap(text, indent = '') {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line.trim() !== '' && line.length + 1 + word.length > WIDTH) lines.push(indent + word)
    else lines[lines.length - 1] += line === '' || line === indent ? word : ` ${word}`
  }
  return lines.join('\n')
}

const remedyOf = ({ remedy }) =>
  remedy === undefined ? [] : ['', wrap(`**What to do:** ${sentence(remedy)}`)]

function own([code, advice]) {
  const files = Object.entries(advice.files ?? {}).map(([name, { means, remedy }]) => {
    const where = name === '' ? 'No file is named' : `\`${name}\``
    const text = remedy === undefined ? sentence(means) : `${sentence(means)} ${sentence(remedy)}`
    return wrap(`- ${where}: ${text}`, '  ')
  })
  return [
    `### \`${code}\``,
    '',
    wrap(sentence(advice.means)),
    ...remedyOf(advice),
    ...(files.length === 0
      ? []
      : ['', 'By the missing file that the message is about:', '', ...files]),
    '',
  ]
}

function system(code) {
  const advice = SYSTEM[code]
  const rows = REMEDIES.filter(([name, , text]) => name === code && text !== advice.means)
  const at = rows.filter(([, place]) => place !== '')
  const elsewhere = rows.find(([, place]) => place === '')?.[2]
  return [
    `### \`${code}\``,
    '',
    wrap(sentence(advice.means)),
    ...remedyOf({ remedy: elsewhere }),
    ...remedyOf(advice),
    ...(at.length === 0 ? [] : ['', 'By the file or call that the message names:', '']),
    ...at.map(([, place, text]) => wrap(`- \`${place}\`: ${sentence(text)}`, '  ')),
    '',
  ]
}

const page = [
  HEAD,
  "## The library's own codes",
  '',
  ...Object.entries(OWN).flatMap(own),
  '## Codes of system calls',
  '',
  ...Object.keys(SYSTEM).sort().flatMap(system),
].join('\n')

if (process.argv[2] !== '--check') writeFileSync(file, page)
else if (readFileSync(file, 'utf8') !== page) fail('docs/errors.md is stale: npm run docs:errors')
