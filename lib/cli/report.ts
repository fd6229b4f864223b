// cgroup-oom report: what guard({ record }) has written, as text, SVG or HTML.
import { writeFile } from 'node:fs/promises'
import { parse, UsageError, type Command } from './command.js'
import { count } from './format.js'
import { htmlOf, svgOf } from './report/page.js'
import { FORMAT, readRecord, type RecordFile } from './report/read.js'
import { summaryOf, textOf } from './report/text.js'

const help = `Usage: cgroup-oom report FILE [--last N] [--svg OUT] [--html OUT]

Shows the episodes that guard({ record: FILE }) has written, in order of time: what happened when, who held
what, how each ended. FILE "-" is standard input. Changes nothing but the files OUT, which are overwritten.

Options:
  --last N     the last N episodes only
  --svg OUT    writes a picture: each of up to 4 episodes, or an overview and a list
  --html OUT   writes a page: an overview, and each episode with its picture and tables
  --help       this text

With --svg or --html no timelines are printed. Lines that are broken, or have a format that this version does
not know, are left out and counted on standard error.

Exit status: 0 shown, 1 FILE cannot be read or has no episode, or OUT cannot be written, 2 usage.
`

function leftOut({ broken, unknown }: RecordFile): string[] {
  const lines = broken === 0 ? [] : [`${count(broken, 'line')} left out: no episode`]
  for (const [format, times] of unknown) {
    lines.push(
      `${count(times, 'line')} left out: format ${format}, and this version knows ${FORMAT}`,
    )
  }
  return lines
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { last: { type: 'string' }, svg: { type: 'string' }, html: { type: 'string' } },
  })
  const [path, ...more] = positionals
  if (path === undefined) throw new UsageError('a FILE is missing')
  if (more.length > 0) throw new UsageError(`one FILE only: ${more[0]}`)
  if (values.last !== undefined && !/^[1-9]\d{0,9}$/.test(values.last)) {
    throw new UsageError(`--last takes a number from 1: ${values.last}`)
  }
  for (const name of ['svg', 'html'] as const) {
    if (values[name] === '') throw new UsageError(`--${name} takes a file`)
  }
  const file = await readRecord(path)
  const episodes = file.episodes.slice(values.last === undefined ? 0 : -Number(values.last))
  for (const line of leftOut(file)) process.stderr.write(`${line}\n`)
  if (values.svg !== undefined) await writeFile(values.svg, svgOf(episodes))
  if (values.html !== undefined) await writeFile(values.html, htmlOf(episodes))
  if (values.svg === undefined && values.html === undefined) {
    for (const episode of episodes) process.stdout.write(`${textOf(episode)}\n\n`)
  }
  process.stdout.write(`${summaryOf(episodes)}\n`)
  return episodes.length === 0 ? 1 : 0
}

export const report: Command = {
  name: 'report',
  summary: 'show the episodes that a guard has recorded',
  help,
  run,
}
