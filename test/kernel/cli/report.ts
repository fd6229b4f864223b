// `cgroup-oom report` as a command: what it prints, writes and leaves out. docs/episode.jsonl is of a real run.
// lab: left out: many Node.js processes, each of which takes seconds to start there; of no kernel
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { cli } from '../../helpers/cli.js'

const RECORD = 'docs/episode.jsonl'
const line = readFileSync(RECORD, 'utf8')

t.test('it prints the timelines, and a summary', async t => {
  const { status, stdout, stderr } = await cli(['report', RECORD])
  t.equal(status, 0)
  t.equal(stderr, '')
  t.match(stdout, /^\S+Z \/sys\/fs\/cgroup\S*\/nightly: episode 1, /)
  t.match(stdout, /out of memory at 256\.0 MiB of 256\.0 MiB: build \(\d+\) /)
  t.match(stdout, /kill-largest: SIGKILL to build/)
  t.match(stdout, /\n1 episode of 1 group, .*: fallback 1; 1 process killed\n$/)
})

t.test('broken lines and unknown formats are left out, counted and named', async t => {
  const dir = t.testdir()
  const file = `${dir}/oom.jsonl`
  writeFileSync(file, `${line}{"format":1,"ti\n${line}\n{"format":3}\n{"format":3}\nnoise\n`)
  const { status, stdout, stderr } = await cli(['report', file, '--last', '1'])
  t.equal(status, 0)
  t.equal(
    stderr,
    '2 lines left out: no episode\n2 lines left out: format 3, and this version knows 1\n',
  )
  t.match(stdout, /\n1 episode of 1 group/)
})

t.test('it writes pictures, and takes standard input', async t => {
  const dir = t.testdir()
  const { status, stdout } = await cli(
    ['report', '-', '--svg', `${dir}/x.svg`, '--html', `${dir}/x.html`],
    { input: line },
  )
  t.equal(status, 0)
  t.match(stdout, /^1 episode of 1 group[^\n]*\n$/)
  t.match(readFileSync(`${dir}/x.svg`, 'utf8'), /^<svg /)
  t.match(readFileSync(`${dir}/x.html`, 'utf8'), /^<!doctype html>/)
  t.equal(
    readFileSync(`${dir}/x.svg`, 'utf8'),
    readFileSync('docs/episode.svg', 'utf8'),
    'as shown',
  )
})

t.test('what cannot be read, or has no episode, is an error', async t => {
  const dir = t.testdir({ empty: '' })
  t.match(await cli(['report', `${dir}/missing`]), { status: 1, stderr: /ENOENT/ })
  t.match(await cli(['report', dir]), { status: 1, stderr: /EISDIR/ })
  t.match(await cli(['report', `${dir}/empty`]), { status: 1, stdout: 'no episodes\n' })
  for (const args of [[], [RECORD, 'more'], [RECORD, '--last', '0'], [RECORD, '--svg', '']]) {
    t.match(await cli(['report', ...args]), { status: 2 }, args.join(' '))
  }
  t.notOk(existsSync('undefined'))
})
