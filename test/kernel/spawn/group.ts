// spawn() and its group: nothing that a child allocates or forks is outside of it, whatever state
// the group is in, and nothing of the launcher is left behind.
import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import type { ChildProcess } from 'node:child_process'
import t from 'tap'
import { OomError } from '../../../lib/base/errors.js'
import { spawn } from '../../../lib/spawn/spawn.js'
import { openGroup } from '../../helpers/group.js'
import { compiled } from '../../helpers/compile.js'
import { fillUp, giveRoom, waits } from '../../helpers/full.js'
import { HIERARCHY, killsIn, MiB, mount, read, USAGE } from '../../helpers/memory-files.js'
import { child as below, scratch, until } from '../../helpers/scratch.js'

async function outputOf(child: ChildProcess): Promise<string> {
  let text = ''
  child.stdout!.on('data', data => (text += String(data)))
  await closed(child)
  return text
}

// events.once() would reject with an 'error' before it.
const closed = (child: ChildProcess): Promise<unknown[]> =>
  new Promise(resolve => child.on('close', (...args) => resolve(args)))

const memoryLines = (text: string): string[] => text.split('\n').filter(l => l.includes(HIERARCHY))

t.test('the child is in the group from its first instruction, with all that it forks', async t => {
  const dir = scratch(t)
  const group = await openGroup(t, dir)
  const mine = `${HIERARCHY}${dir.slice(mount.length)}`
  const direct = await outputOf(spawn('cat', ['/proc/self/cgroup'], { group }))
  t.match(memoryLines(direct), [mine])
  const forks = '(cat /proc/self/cgroup); cat /proc/self/cgroup | cat; setsid cat /proc/self/cgroup'
  const forked = memoryLines(await outputOf(spawn('sh', ['-c', forks], { group })))
  t.equal(forked.length, 3)
  for (const line of forked) t.ok(line.endsWith(mine))
  const shell = await outputOf(spawn(forks, [], { group, shell: true, detached: true, uid: 65534 }))
  t.strictSame(memoryLines(shell), forked)
})

t.test('what the child allocates is charged to the group', async t => {
  const dir = scratch(t)
  const group = await openGroup(t, dir)
  const child = spawn(compiled('hog'), [], { group, stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.write(`fill ${8 * MiB}\n`)
  for await (const data of child.stdout) if (String(data).includes('filled')) break
  t.ok(Number(read(dir, USAGE)) >= 8 * MiB)
  child.stdin.end()
  await once(child, 'close')
  // Its very first pages, too: a program that ends at once has been charged for.
  const other = scratch(t)
  const peak = ['memory.max_usage_in_bytes', 'memory.peak'].find(f => existsSync(`${other}/${f}`))
  if (peak === undefined) return t.comment('this kernel has no peak')
  const empty = Number(read(other, peak))
  await once(spawn('true', [], { group: await openGroup(t, other), stdio: 'ignore' }), 'close')
  t.ok(Number(read(other, peak)) > empty)
})

t.test("the limit applies, and the kill is the command's", async t => {
  const dir = scratch(t, 4 * MiB)
  const group = await openGroup(t, dir)
  const child = spawn(compiled('hog'), [], { group, stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.on('error', () => {})
  child.stdin.write(`fill ${16 * MiB}\n`)
  t.strictSame(await once(child, 'exit'), [null, 'SIGKILL'])
  t.equal(killsIn(dir), 1)
})

t.test('a full group: the start waits for room', async t => {
  for (const uid of [undefined, 65534]) {
    const dir = scratch(t, 16 * MiB)
    const group = await openGroup(t, dir)
    const { filled } = await fillUp(t, dir)

    const events: string[] = []
    const commands = [['echo', 'through'], ['/proc/self/mem/no'], ['sh', '-c', 'exit 3']].map(
      ([command, ...args]) =>
        spawn(command!, args, { group, ...(uid === undefined ? {} : { uid }) })
          .on('spawn', () => events.push(`${command} spawn`))
          .on('error', error => events.push(`${command} ${(error as OomError).code}`))
          .on('exit', code => events.push(`${command} ${code}`)),
    )
    const ends = Promise.all(commands.map(closed))
    const ended = (child: ChildProcess) => child.exitCode !== null
    // Each is a member that sleeps until there is memory; what is charged ahead may do for one.
    await until(() => commands.every(c => ended(c) || waits(dir, c.pid!)))
    const through = new Set(events.map(event => event.split(' ')[0]))
    t.ok(through.size < 2, `the others have not begun: ${events.join(', ')}`)

    giveRoom(dir)
    await Promise.all([filled, ends])
    t.strictSame(events.sort(), [
      '/proc/self/mem/no ENOTDIR',
      'echo 0',
      'echo spawn',
      'sh 3',
      'sh spawn',
    ])
  }
})

t.test('a start that waits can be killed', async t => {
  const dir = scratch(t, 16 * MiB)
  const group = await openGroup(t, dir)
  await fillUp(t, dir)
  let child: ChildProcess
  do {
    child = spawn('true', [], { group, stdio: 'ignore' })
    await until(() => child.exitCode !== null || waits(dir, child.pid!))
  } while (child.exitCode !== null)
  child.kill()
  t.strictSame(await once(child, 'exit'), [null, 'SIGTERM'])
})

t.test('a spawn into a group that is gone fails', async t => {
  const dir = below(scratch(t), 'gone')
  const group = await openGroup(t, dir)
  rmdirSync(dir)
  const child = spawn('echo', ['x'], { group, stdio: ['pipe', 'pipe', 'ignore', 'pipe'] })
  t.equal(child.pid, undefined)
  const close = closed(child)
  const error = (await once(child, 'spawn').catch((error: unknown) => error)) as OomError
  t.type(error, OomError)
  t.match(error, { path: `${dir}/cgroup.procs`, code: /^(ENOENT|ENODEV)$/ })
  t.strictSame(await close, [error.errno, null])
  t.equal(child.spawnfile, 'echo')
})

t.test('a group that is removed between opening and joining', async t => {
  const dir = below(scratch(t), 'gone')
  const { launch } = await import('../../../lib/spawn/launch.js')
  const { openSync } = await import('node:fs')
  const openProcs = (): number => {
    const fd = openSync(`${dir}/cgroup.procs`, 'w')
    rmdirSync(dir)
    return fd
  }
  const child = launch({ file: 'echo', argv: ['echo', 'x'] }, { path: dir, openProcs }, {})
  const seen: unknown[] = []
  let error: OomError | undefined
  child.on('spawn', () => seen.push('spawn')).on('exit', () => seen.push('exit'))
  child.on('error', e => ((error = e as OomError), seen.push('error')))
  const output = await outputOf(child)
  t.strictSame([seen, output, child.pid], [['error'], '', undefined])
  t.type(error, OomError)
  t.match(error, { code: 'ENODEV', syscall: 'write', path: `${dir}/cgroup.procs` })
  t.strictSame([child.exitCode, child.signalCode], [error!.errno, null])
})

t.test("privileges go after joining: the group is root's alone", async t => {
  process.setgroups!([0, 12])
  const dir = scratch(t)
  chmodSync(`${dir}/cgroup.procs`, 0o600)
  const group = await openGroup(t, dir)
  const child = spawn('sh', ['-c', 'id -u; id -g; id -G; cat /proc/self/cgroup'], {
    group,
    uid: 65534,
    gid: 65533,
  })
  const text = await outputOf(child)
  t.match(text, /^65534\n65533\n65533\n/)
  t.ok(memoryLines(text)[0]!.endsWith(dir.slice(mount.length)))
})

t.test(
  "the launcher is static: nothing of the command's environment is loaded before the group",
  async t => {
    const { nativeFile } = await import('../../../lib/native/load.js')
    const elf = readFileSync(nativeFile('oom-launcher')!)
    // No PT_INTERP, no PT_DYNAMIC that names a library.
    t.notMatch(elf.subarray(0, 4096).toString('latin1'), /ld-(linux|musl)/)
  },
)

t.test('nothing is left behind', async t => {
  const group = await openGroup(t, scratch(t))
  const gone = await openGroup(t, below(scratch(t), 'gone'))
  rmdirSync(gone.path)
  const fds = (): string[] => readdirSync('/proc/self/fd').sort()
  // The loop's own descriptors exist from the first on.
  await once(spawn('true', [], { group }), 'close')
  const before = fds()
  for (let i = 0; i < 10; i++) {
    const ends = Array.from({ length: 10 }, (_, k) => {
      const child = spawn(k % 3 ? 'true' : 'no-such-command', [], { group })
      child.on('error', () => {})
      return closed(child)
    })
    await Promise.all(ends)
  }
  t.throws(() => spawn('true', [], { group, cwd: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => spawn('true', ['x'.repeat(1 << 20)], { group }), { code: 'E2BIG' })
  await closed(spawn('true', [], { group: gone }).on('error', () => {}))
  await until(() => fds().length <= before.length)
  t.strictSame(fds(), before)
})

t.test('a listener that throws does not take the next events with it', async t => {
  const group = await openGroup(t, scratch(t))
  const child = spawn('true', [], { group })
  const thrown = once(process, 'uncaughtException')
  child.once('spawn', () => {
    throw new Error('mine')
  })
  const [[error]] = (await Promise.all([thrown, once(child, 'exit')])) as [[Error], unknown]
  t.match(error, { message: 'mine' })
  t.notOk(Object.hasOwn(child, 'emit'), "Node.js's own emit is back")
})
