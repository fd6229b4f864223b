// pids, add, kill: big groups, groups below, fork bombs, this process itself.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { MemoryGroup } from '../../../lib/group/memory-group.js'
import { Hog } from '../../helpers/hog.js'
import { isHeld, MiB, onV1, read, underOom, version, write } from '../../helpers/memory-files.js'
import { child, plainChild, scratch, until } from '../../helpers/scratch.js'
import { mountOf, twin } from '../../helpers/twin.js'

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
/** PF_KTHREAD, of the flags in proc_pid_stat(5). */
function isKernelThread(pid: number): boolean {
  try {
    const rest = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!
    return (Number(rest.split(' ')[6]) & 0x0020_0000) !== 0
  } catch {
    return false
  }
}
const ascending = (pids: number[]) => pids.sort((a, b) => a - b)

t.test('pids of a group and of all below', async t => {
  const dir = scratch(t)
  const below = plainChild(plainChild(dir, 'a'), 'b')
  const group = await MemoryGroup.open(dir)
  t.strictSame(await group.pids(), [])
  t.strictSame(await group.pids({ recursive: true }), [])
  const hogs = [await Hog.start(dir), await Hog.start(below), await Hog.start(dir)]
  t.strictSame(await group.pids(), ascending([hogs[0]!.pid, hogs[2]!.pid]))
  t.strictSame(await group.pids({ recursive: false }), ascending([hogs[0]!.pid, hogs[2]!.pid]))
  t.strictSame(await group.pids({ recursive: true }), ascending(hogs.map(h => h.pid)))
  for (const hog of hogs) await hog.end()
  await until(async () => (await group.pids({ recursive: true })).length === 0)
  for (const bad of [null, 1, 'x', []]) {
    await t.rejects(group.pids(bad as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  await t.rejects(group.pids({ recursive: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('a list of pids larger than any buffer', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const made = new Set([hog.pid])
  // 16 KiB of text is what one read(2) takes.
  while (Buffer.byteLength(read(dir, 'cgroup.procs')) <= 17_000) {
    for (let i = 0; i < 100; i++) made.add(await hog.fork())
  }
  t.strictSame(await group.pids(), ascending([...made]))
  // The first one's children die with it (PR_SET_PDEATHSIG): some before they are signalled.
  const killed = await group.kill()
  t.ok(killed.includes(hog.pid))
  t.ok(killed.every(pid => made.has(pid)))
  t.equal(new Set(killed).size, killed.length)
  t.strictSame(await group.pids(), [])
})

t.test('add moves a process, not what it has used', async t => {
  const from = scratch(t)
  const to = scratch(t)
  const hog = await Hog.start(from)
  t.teardown(() => hog.end())
  await hog.fill(16 * MiB)
  const group = await MemoryGroup.open(to)
  await group.add(hog.pid)
  t.strictSame(await group.pids(), [hog.pid])
  t.ok((await group.usage()) < 8 * MiB)
  await hog.fill(16 * MiB)
  t.ok((await group.usage()) > 14 * MiB)
  await hog.end()
  await t.rejects(group.add(hog.pid), {
    code: 'ESRCH',
    path: join(to, 'cgroup.procs'),
    message: /no such process/,
  })
  for (const bad of [0, -1, 1.5, NaN, 2 ** 31])
    await t.rejects(group.add(bad), { code: 'ERR_OUT_OF_RANGE' })
  for (const bad of ['1', null, undefined, {}]) {
    await t.rejects(group.add(bad as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
})

t.test('add refuses processes that are hardly moved on purpose', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  t.teardown(() => group.close())
  const refused = (message: RegExp) => ({ code: 'ERR_PROCESS_REFUSED', path: dir, message })
  await t.rejects(group.add(1), refused(/process 1 is the first one.*threadId.*force: true/))
  await t.rejects(group.add(process.ppid), refused(/an ancestor of this one/))
  const hog = await Hog.start()
  t.teardown(() => hog.end())
  // A thread of this process.
  const thread = readdirSync('/proc/self/task')
    .map(Number)
    .find(tid => tid !== process.pid)!
  await t.rejects(group.add(thread), refused(new RegExp(`thread, of process ${process.pid}`)))
  const kernel = readdirSync('/proc')
    .map(Number)
    .find(pid => pid > 1 && isKernelThread(pid))
  if (kernel !== undefined) await t.rejects(group.add(kernel), refused(/a kernel thread/))
  t.equal(read(dir, 'cgroup.procs'), '', 'nothing was moved')
  for (const force of [1, 'yes', null]) {
    await t.rejects(group.add(hog.pid, { force: force as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  await t.rejects(group.add(hog.pid, 1 as never), { code: 'ERR_INVALID_ARG_TYPE' })

  // A child, a stranger's child, and this process itself are ordinary.
  await group.add(hog.pid)
  const own = (await MemoryGroup.of('self')).path
  await group.add(process.pid)
  t.ok((await group.pids()).includes(process.pid))
  writeFileSync(join(own, 'cgroup.procs'), String(process.pid))
})

t.test('add with force moves the process of a thread', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  t.teardown(() => group.close())
  const node = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  t.teardown(() => node.kill('SIGKILL'))
  const threads = () => readdirSync(`/proc/${node.pid}/task`).map(Number)
  await until(() => threads().length > 1)
  const thread = threads().find(tid => tid !== node.pid)!
  await t.rejects(group.add(thread), { code: 'ERR_PROCESS_REFUSED' })
  await group.add(thread, { force: true })
  t.strictSame(await group.pids(), [node.pid])
  await group.kill()
})

t.test('a group with process 1 in it: the remedy is not to be root', async t => {
  const dir = scratch(t)
  const from = child(dir, 'jobs')
  const to = child(dir, 'elsewhere')
  // Of a PID namespace, as in a container: a shell; what runs below it moves itself away.
  const program = `
    const fs = require('node:fs')
    const { MemoryGroup } = require(${JSON.stringify(join(process.cwd(), 'dist/commonjs/lib/index.js'))})
    fs.writeFileSync(${JSON.stringify(join(to, 'cgroup.procs'))}, '0')
    void (async () => {
      const group = await MemoryGroup.open(${JSON.stringify(from)})
      const failure = work => work.then(() => ({}), ({ code, message }) => ({ code, message }))
      const errors = [await failure(group.kill()), await failure(group.remove({ kill: true }))]
      const elsewhere = await MemoryGroup.open(${JSON.stringify(to)})
      await elsewhere.add(1, { force: true })
      await group.remove({ kill: true })
      console.log(JSON.stringify(errors))
    })()`
  const script = 'echo 0 >"$0"/cgroup.procs; "$1" -e "$2"; true'
  const line = ['-p', '-f', '--mount-proc', 'sh', '-c', script, from, process.execPath, program]
  if (spawnSync('unshare', ['-p', '-f', '--mount-proc', 'true']).status !== 0) {
    return t.pass('PID namespaces are not allowed here')
  }
  const { stdout, stderr } = spawnSync('unshare', line, { encoding: 'utf8' })
  t.equal(stderr, '')
  const expected = {
    code: 'ERR_INIT_IN_GROUP',
    message: /no signal ends it: move it.*add\(1, \{ force/,
  }
  t.match(JSON.parse(stdout), [expected, expected])
  t.notOk(existsSync(from), 'the remedy works')
})

t.test('any other signal is sent once, and only to members', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const inside = await Hog.start(dir)
  const below = await Hog.start(plainChild(dir, 'below'))
  const outside = await Hog.start()
  t.teardown(() => outside.end())
  t.strictSame(await group.kill({ signal: 'SIGTERM', recursive: false }), [inside.pid])
  t.strictSame(await inside.exited, [null, 'SIGTERM'])
  t.ok(alive(below.pid))
  t.strictSame(await group.kill({ signal: 'SIGTERM' }), [below.pid])
  t.strictSame(await below.exited, [null, 'SIGTERM'])
  t.strictSame(await group.kill({ signal: 'SIGTERM' }), [])
  t.ok(alive(outside.pid))
})

t.test('kill: members only, all below by default, and empty when it resolves', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const inside = await Hog.start(dir)
  const below = await Hog.start(plainChild(dir, 'below'))
  const outside = await Hog.start()
  t.teardown(() => outside.end())
  t.strictSame(await group.kill({ recursive: false }), [inside.pid])
  t.strictSame(await group.pids({ recursive: true }), [below.pid])
  t.strictSame(await group.kill(), [below.pid])
  t.strictSame(await group.pids({ recursive: true }), [])
  t.strictSame(await inside.exited, [null, 'SIGKILL'])
  t.strictSame(await below.exited, [null, 'SIGKILL'])
  t.ok(alive(outside.pid))
  t.strictSame(await group.kill(), [])
  for (const bad of ['SIGNOPE', 'sigkill']) {
    await t.rejects(group.kill({ signal: bad as never }), { code: 'ERR_UNKNOWN_SIGNAL' })
  }
  await t.rejects(group.kill({ signal: 9 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(group.kill({ recursive: 'yes' as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(group.kill(null as never), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('kill resolves when the last one is gone, however long it takes to die', async t => {
  const group = await MemoryGroup.open(scratch(t))
  const hog = await Hog.start(group.path)
  const size = Math.min(1024 * MiB, Math.floor(freemem() / 2))
  await hog.fill(size)
  t.strictSame(await group.kill(), [hog.pid])
  t.strictSame(await group.pids(), [])
  t.ok((await group.usage()) < size / 2)
  await hog.exited
})

t.test('kill ends a fork bomb', async t => {
  if (mountOf('pids') === undefined) return t.pass('nothing here to bound a fork bomb with')
  const dir = scratch(t, 256 * MiB)
  const bound = twin(t, 'pids', dir)
  write(bound, 'pids.max', 100)
  const group = await MemoryGroup.open(dir)
  const hog = await Hog.start(dir)
  write(bound, 'cgroup.procs', hog.pid)
  await hog.bomb()
  await until(async () => (await group.pids()).length > 50)
  const killed = await group.kill()
  t.ok(killed.length > 50, `${killed.length} killed`)
  t.ok(killed.includes(hog.pid))
  t.strictSame(await group.pids(), [])
  t.equal(read(bound, 'cgroup.procs'), '', 'none escaped')
  await hog.exited
})

t.test(
  'kill reaches members that wait in an out-of-memory',
  onV1('a killer can be disabled'),
  async t => {
    const dir = scratch(t, 16 * MiB)
    write(dir, 'memory.oom_control', 1)
    const group = await MemoryGroup.open(dir)
    const hog = await Hog.start(dir)
    const filled = t.rejects(hog.fill(32 * MiB))
    await until(() => underOom(dir))
    t.strictSame(await group.kill(), [hog.pid])
    await filled
    t.ok(isHeld(dir), 'and leaves the killer as it was')
  },
)

t.test('kill refuses to kill this process, before it kills others', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const below = plainChild(dir, 'below')
  const hog = await Hog.start(dir)
  t.teardown(() => hog.end())
  const own = (await MemoryGroup.of('self')).path
  const refused = { code: 'ERR_SELF_IN_GROUP', path: dir, message: /this process is in the group/ }
  write(below, 'cgroup.procs', process.pid)
  if (version === 1) write(dir, 'memory.oom_control', 1)
  try {
    await t.rejects(group.kill(), refused)
    await t.rejects(group.kill({ signal: 'SIGSTOP' }), refused)
    await t.rejects(group.remove({ kill: true }), refused)
    t.ok(version === 2 || isHeld(dir), 'nothing was touched')
    t.ok(alive(hog.pid))
    t.strictSame(await group.kill({ recursive: false }), [hog.pid], 'it is not in that group')
  } finally {
    writeFileSync(join(own, 'cgroup.procs'), String(process.pid))
  }
  await group.kill()
})

t.test('groups below, coming and going while they are listed', async t => {
  const dir = scratch(t)
  const group = await MemoryGroup.open(dir)
  const churn = `i=0; while [ ! -d "$1/stop" ]; do i=$((i+1)); mkdir -p "$1/$i/x"; rmdir "$1/$i/x" "$1/$i"; done`
  const sh = spawn('sh', ['-c', churn, 'sh', dir], { stdio: 'ignore' })
  const done = new Promise(resolve => sh.on('exit', resolve))
  for (let i = 0; i < 100; i++) t.strictSame(await group.pids({ recursive: true }), [])
  mkdirSync(join(dir, 'stop'))
  await done
})
