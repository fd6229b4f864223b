// The guardian: what becomes of guarded groups when the process that guards them cannot act.
import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Hog } from '../helpers/hog.js'
import { field, killerDisabled, MiB, scratch, underOom, until } from '../helpers/scratch.js'

const root = process.cwd()

/** A supervisor in a process of its own that guards `dir`; resolves when it is armed. */
async function supervisor(dir: string, options: object) {
  const script = `
    import { MemoryGroup } from '${join(root, 'lib/index.ts')}'
    const group = await MemoryGroup.open(${JSON.stringify(dir)})
    const guard = await group.guard(${JSON.stringify(options)})
    process.stdout.write('armed\\n')
    process.stdin.resume()
  `
  const child = spawn(
    process.execPath,
    [...process.execArgv, '--input-type=module', '-e', script],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: process.env,
    },
  )
  await once(child.stdout, 'data')
  return child
}

t.test('SIGKILL between episodes: the killer is back', async t => {
  const dir = scratch(t, 16 * MiB)
  const child = await supervisor(dir, { delayMs: 60_000 })
  t.ok(killerDisabled(dir))
  child.kill('SIGKILL')
  await until(() => !killerDisabled(dir))
})

t.test('SIGKILL during an episode: it keeps its deadline, then the kernel decides', async t => {
  const dir = scratch(t, 16 * MiB)
  const child = await supervisor(dir, { delayMs: 700 })
  const hog = await Hog.start(dir)
  const began = process.hrtime.bigint()
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  child.kill('SIGKILL')
  await t.rejects(filled)
  t.ok(process.hrtime.bigint() - began > 600_000_000n, 'not before')
  t.equal(field(dir, 'memory.oom_control', 'oom_kill'), 1)
  await until(() => !killerDisabled(dir))
})

t.test('SIGSTOP during an episode: the guardian acts, once', async t => {
  const dir = scratch(t, 16 * MiB)
  const child = await supervisor(dir, { delayMs: 300 })
  const hog = await Hog.start(dir)
  const filled = hog.fill(24 * MiB)
  await until(() => underOom(dir))
  child.kill('SIGSTOP')
  await t.rejects(filled)
  t.equal(field(dir, 'memory.oom_control', 'oom_kill'), 1)
  child.kill('SIGKILL')
  await until(() => !killerDisabled(dir))
})
