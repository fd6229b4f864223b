// The hold by signals where it is for: in a container's default, uid 1000 without capabilities, cgroupfs
// read-only, the system calls refused that Docker's default profile refuses, supervisor, jobs and guardian in one group.
// lab: short on 6.1/v2
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compiled } from '../../helpers/compile.js'
import { rounds } from '../../helpers/faults.js'
import { killsIn, MiB, mount, version, write } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { destroy, scratch, until } from '../../helpers/scratch.js'

const USER = 1000
// What is first in the way: the owner of the files, or the mount.
const REFUSED = /^(EROFS|EACCES)$/
const LIMIT = 256 * MiB
const BAND = 96 * MiB
const CONTAINER = [
  ...['prlimit', '--memlock=8388608:8388608'],
  ...['/usr/bin/unshare', '--mount', 'sh', '-c'],
  ...[`mount -o remount,bind,ro ${mount} && exec "$@"`, 'sh'],
  ...[compiled('confined'), String(USER)],
]
const inside = (...command: string[]) =>
  spawnSync(CONTAINER[0]!, [...CONTAINER.slice(1), ...command])
const skip =
  inside('true').status !== 0
    ? 'mount namespaces are not allowed here'
    : inside('test', '-r', join(process.cwd(), 'dist/commonjs/lib/index.js')).status !== 0
      ? `uid ${USER} cannot read this directory`
      : false

/** Jobs that fill the group as fast as they can, and one that does nothing. */
async function start(
  t: Test,
  jobs: number,
  options: object,
  home = scratch(t, LIMIT),
  decide?: string,
) {
  const remote = await Remote.start(t, { home, through: CONTAINER })
  await remote.guard(home, { hold: { by: 'auto', band: BAND }, ...options } as never, decide)
  t.equal(await remote.run('return guards[0].heldBy'), 'signals')
  const pids = await remote.run<number[]>(`
    const { spawn } = require('node:child_process')
    const job = () => spawn(${JSON.stringify(compiled('hog'))}, [], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    globalThis.jobs = Array.from({ length: ${jobs + 1} }, job)
    for (const { stdin } of jobs) stdin.on('error', () => {})
    for (const { stdin } of jobs.slice(1)) stdin.write('fill ${LIMIT}\\n')
    return jobs.map(job => job.pid)`)
  return { remote, home, idle: pids[0]!, busy: pids.slice(1) }
}

const state = (pid: number): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)![0]
  } catch {
    return undefined
  }
}

t.test('it is what the test says', { skip }, async t => {
  const status = inside('sh', '-c', `cat /proc/self/status; : > ${mount}/x`)
  const text = String(status.stdout)
  t.match(text, new RegExp(`^Uid:\\t${USER}\\t${USER}`, 'm'))
  t.match(text, /^CapEff:\t0+$/m)
  t.match(text, /^Seccomp:\t2$/m)
  t.match(String(status.stderr), /Read-only file system/)
})

/** One round: an OOM that nobody resolves. True: the kernel was first. */
async function unresolved(t: Test, jobs: number, home: string): Promise<boolean> {
  const { remote, idle, busy } = await start(t, jobs, { delayMs: 200 }, home)
  try {
    await remote.event('episode')
    t.equal(await remote.run('return 1 + 1'), 2, 'its loop turns')
    const ended = await remote.event<{ outcome: string; killed: number[]; kernelKills: number }>(
      'ended',
    )
    if (killsIn(home) > 0) return true
    // The guardian, where the sentinel got to run late.
    t.match(ended, { outcome: /^(fallback|guardian)$/, kernelKills: 0 })
    t.ok(ended.killed.every(pid => busy.includes(pid)))
    await until(() => busy.some(pid => [undefined, 'Z'].includes(state(pid))))
    await remote.run('await guards[0].dispose()')
    await until(() => state(idle) === 'S')
    return false
  } catch (error) {
    // Where all die together, the kernel's kill is the supervisor's end.
    if (killsIn(home) === 0) throw error
    return true
  } finally {
    await destroy(home)
    await remote.exited
  }
}

async function unresolvedRounds(t: Test, prepare: (home: string) => void): Promise<void> {
  let kernelFirst = 0
  const loads = Array.from({ length: rounds }, () => [1, 2, 4]).flat()
  for (const jobs of loads) {
    const home = scratch(t, LIMIT)
    prepare(home)
    if (await unresolved(t, jobs, home)) kernelFirst++
  }
  // Best effort: a machine that is far too busy runs the sentinel too late.
  t.comment(`the kernel was first ${kernelFirst} of ${loads.length} times`)
  t.ok(kernelFirst < loads.length)
}

t.test(
  'the largest child dies at the deadline, the handler runs, and the process lives',
  { skip },
  t => unresolvedRounds(t, () => {}),
)

t.test('a handler has its say: it kills, and all others go on', { skip }, async t => {
  const decide = `async episode => {
    while (fs.readFileSync('/proc/' + jobs[0].pid + '/stat', 'utf8').split(') ').pop()[0] !== 'T') await new Promise(setImmediate)
    // What the first frees may end the episode: then the other one begins the next.
    for (const job of jobs.slice(1)) await episode.kill(job.pid).catch(() => {})
  }`
  const { remote, home, idle } = await start(t, 2, { delayMs: 60_000 }, scratch(t, LIMIT), decide)
  t.match(await remote.event('ended'), { kernelKills: 0 })
  t.equal(killsIn(home), 0)
  await until(() => state(idle) === 'S')
})

t.test('headroom and raiseLimit say that the group cannot be written', { skip }, async t => {
  const home = scratch(t, LIMIT)
  const remote = await Remote.start(t, { home, through: CONTAINER })
  const plan = [{ action: 'headroom', afterMs: 0, bytes: MiB }]
  await t.rejects(remote.guard(home, { delayMs: 100, hold: { by: 'signals' }, plan } as never), {
    code: REFUSED,
  })
  const decide = `episode => episode.raiseLimit({ by: ${MiB} }).catch(error => emit('refused', error.code))`
  const { remote: second } = await start(t, 1, { delayMs: 60_000 }, scratch(t, LIMIT), decide)
  t.match(await second.event('refused'), REFUSED)
})

t.test('where all die together (memory.oom.group), the same, and none does', { skip }, async t => {
  if (version !== 2) return t.pass('v2 only')
  if (!existsSync(join(scratch(t), 'memory.oom.group'))) return t.pass('not in this kernel')
  await unresolvedRounds(t, home => write(home, 'memory.oom.group', 1))
})
