// Makes the README's picture, docs/episode.svg, and the record that it is drawn from, docs/episode.jsonl, from a
// real run: a group of 256 MiB with four processes, one of which allocates without end. As root, on a machine whose
// memory groups can be written. `--draw`: draws the record that is there again.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fail, root } from './run.mjs'

const record = join(root, 'docs/episode.jsonl')
const picture = join(root, 'docs/episode.svg')
const MiB = 2 ** 20

const job = (title, mib, endless) => `
process.title = ${JSON.stringify(title)}
const held = [Buffer.alloc(${mib * MiB}, 1)]
${endless ? `setTimeout(() => setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 6), 700)` : ''}
setInterval(() => {}, 1e6)
`

async function run() {
  const { MemoryGroup, spawn } = await import('../dist/esm/lib/index.js')
  rmSync(record, { force: true })
  const group = await MemoryGroup.create('nightly', { max: 256 * MiB })
  try {
    const guard = await group.guard({
      delayMs: 1000,
      fallback: 'kill-largest',
      plan: [
        { afterMs: 0, action: 'signal', signal: 'SIGURG', to: 'largest' },
        { afterMs: 300, action: 'headroom', bytes: '48M' },
      ],
      record,
    })
    const start = (...how) =>
      spawn(process.execPath, ['-e', job(...how)], { group, stdio: 'ignore' })
    start('server', 24)
    start('lint', 8)
    start('tests', 40)
    await sleep(500)
    start('build', 20, true)
    const { value: episode } = await guard[Symbol.asyncIterator]().next()
    await episode.ended
    await guard.dispose()
  } finally {
    await group.remove({ kill: true })
  }
  // Nobody needs to know the name of the machine.
  const line = JSON.parse(readFileSync(record, 'utf8').split('\n')[0])
  writeFileSync(record, `${JSON.stringify({ ...line, host: 'example' })}\n`)
}

if (!process.argv.includes('--draw')) await run()
const cli = join(root, 'dist/esm/lib/cli.js')
const { status } = spawnSync(process.execPath, [cli, 'report', record, '--svg', picture], {
  stdio: 'inherit',
})
if (status !== 0) fail('the record could not be drawn')
