// MemoryGroup.home(): a group below which groups with limits can be made, in containers, read-only, delegated and
// not; the processes that are moved for it, and that all of it is undone.
// lab: short on 6.1/v2
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { RunningCli } from '../../helpers/cli.js'
import { compiled } from '../../helpers/compile.js'
import {
  AS_USER,
  delegate,
  lab,
  MEMLOCK,
  mounts,
  readOnly,
  remounted,
  unshared,
  userService,
} from '../../helpers/containers.js'
import { MiB, mount, onV1, onV2, read, version, write } from '../../helpers/memory-files.js'
import { namespaced, Odd } from '../../helpers/odd.js'
import { Remote } from '../../helpers/remote.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const LEAF = 'cgroup-oom-members'
const v2 = version === 2 ? lab : onV2('v1 groups may have both')

/** Makes a home; what it is and what can be done there. */
const HOME = `
  const home = await oom.MemoryGroup.home(options)
  globalThis.home = home
  const job = await home.create('job', { max: '32M' })
  const { max } = await job.limits()
  await job.remove()
  return { path: home.path, max }`
const settled = (remote: Remote): Promise<unknown> =>
  remote.run(`const options = { settle: true }; ${HOME}`)
const asItIs = (remote: Remote): Promise<unknown> => remote.run(`const options = {}; ${HOME}`)
const close = (remote: Remote): Promise<unknown> => remote.run('await home.close()')

const under = (home: string, through: string[]) => (t: Test) => Remote.start(t, { home, through })
const CONTAINER = unshared(['--mount', '--cgroup'], remounted('-t cgroup2'))

/** As it was before: no leaf, no controller handed down, all processes in it. */
function untouched(t: Test, dir: string, ...pids: number[]): void {
  t.notMatch(read(dir, 'cgroup.subtree_control'), 'memory')
  t.strictSame(
    readdirSync(dir, { withFileTypes: true }).filter(entry => entry.isDirectory()),
    [],
  )
  const members = read(dir, 'cgroup.procs').split('\n').map(Number)
  for (const pid of pids) t.ok(members.includes(pid), `${pid} is back`)
}

t.test('where the own group is one already', async t => {
  const dir = scratch(t)
  const home = child(dir, 'own')
  const remote = await under(home, [])(t)
  // v2: the group above gives the controller, and the own one has no limit that a job would escape.
  const path = version === 1 ? home : dir
  t.strictSame(await asItIs(remote), { path, max: 32 * MiB })
  t.strictSame(await settled(remote), { path, max: 32 * MiB }, 'nothing to be settled')
  await close(remote)
  t.ok(existsSync(path))
  await t.rejects(remote.run('return oom.MemoryGroup.home({ settle: 1 })'), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
})

t.test('an own group with a limit is not left', v2, async t => {
  const dir = scratch(t)
  const home = child(dir, 'own', 512 * MiB)
  const remote = await under(home, [])(t)
  await t.rejects(asItIs(remote), { code: 'ERR_GROUP_OCCUPIED' })
  t.strictSame(await settled(remote), { path: home, max: 32 * MiB })
  await close(remote)
  untouched(t, home, remote.pid)
})

t.test('read-only: the switch of the runtime', mounts, async t => {
  const remote = await under(scratch(t), readOnly())(t)
  const home = (env: string) =>
    remote.run(`process.env.${env}; return oom.MemoryGroup.home({ settle: true })`)
  const none = { code: 'ERR_NO_HOME' }
  await t.rejects(home('KUBERNETES_SERVICE_HOST = "10.0.0.1"'), {
    ...none,
    message: /read-only.*by: 'signals'.*: cgroup_writable = true[^;]*$/,
  })
  await t.rejects(home('container = "podman"; delete process.env.KUBERNETES_SERVICE_HOST'), {
    ...none,
    message: /: podman run --security-opt unmask=\/sys\/fs\/cgroup$/,
  })
})

t.test('another user, to whom nothing is delegated', async t => {
  const remote = await Remote.start(t, { home: scratch(t), through: MEMLOCK, nobody: true })
  await t.rejects(settled(remote), {
    code: 'ERR_NO_HOME',
    message: /not delegated to this user \(EACCES\).*by: 'signals'.*chown/,
  })
})

t.test('no memory hierarchy', mounts, async t => {
  const remote = await under(scratch(t), unshared(['--mount'], `mount -t tmpfs none /sys/fs`))(t)
  await t.rejects(asItIs(remote), { code: 'ERR_CGROUP_UNSUPPORTED' })
})

t.test('a container, v1', version === 1 ? mounts : onV1('v1'), async t => {
  const home = child(scratch(t), 'container')
  const remote = await under(home, unshared(['--mount'], `mount --bind ${home} ${mount}`))(t)
  t.strictSame(await asItIs(remote), { path: mount, max: 32 * MiB })
})

t.test('a delegated tree', lab, async t => {
  const { service, home } = userService(t)
  const remote = await under(home, AS_USER)(t)
  t.strictSame(await asItIs(remote), { path: version === 1 ? home : service, max: 32 * MiB })
})

t.test('cgroup-oom run in a container', v2, async t => {
  const dir = child(scratch(t), 'container')
  const there = (...args: string[]) => new RunningCli(args, { inside: dir, under: CONTAINER }).done
  const refused = await there('run', '--max', '32M', '--', 'true')
  t.match(refused, { status: 125, stderr: /no-internal-process.*\(node\).*--settle moves them/ })
  untouched(t, dir)
  const ran = await there('run', '--settle', '--max', '32M', '--', 'cat', '/proc/self/cgroup')
  t.match(ran, { status: 0, stdout: /cgroup-oom-run-\d+$/m, stderr: /exited with 0.*of 32\.0 MiB/ })
  untouched(t, dir)
})

t.test('a container: its processes are moved, and come back', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, CONTAINER)(t)
  t.match(await remote.run('return oom.probe()'), {
    home: { available: true, reason: /home\(\{ settle: true \}\)/ },
  })
  const forker = await remote.run<number>(`
    const { spawn } = require('node:child_process')
    globalThis.children = [spawn('sleep', ['1000']), spawn('sh', ['-c', 'while :; do /bin/true; done'])]
    return children[1].pid`)
  await t.rejects(asItIs(remote), {
    code: 'ERR_GROUP_OCCUPIED',
    message: new RegExp(`no-internal-process.*has ${remote.pid} \\(node\\).*home\\(\\{ settle`),
  })
  untouched(t, dir, remote.pid, forker)
  t.strictSame(await settled(remote), { path: mount, max: 32 * MiB })
  t.match(readFileSync(`/proc/${remote.pid}/cgroup`, 'utf8'), LEAF)
  const threads = readdirSync(`/proc/${remote.pid}/task`)
  t.ok(threads.length > 4)
  for (const tid of threads) {
    t.match(readFileSync(`/proc/${remote.pid}/task/${tid}/cgroup`, 'utf8'), LEAF)
  }
  t.match(readFileSync(`/proc/${forker}/cgroup`, 'utf8'), LEAF)
  t.equal(read(dir, 'cgroup.procs').trim(), '')
  // Found again by whoever asks: nothing is left to be settled, or to be undone.
  t.strictSame(
    await remote.run(`globalThis.first = globalThis.home; const options = {}; ${HOME}`),
    {
      path: mount,
      max: 32 * MiB,
    },
  )
  await close(remote)
  t.match(read(dir, 'cgroup.subtree_control'), 'memory')
  await remote.run('await first.close(); await first.close()')
  untouched(t, dir, remote.pid, forker)
  // And again.
  t.strictSame(await settled(remote), { path: mount, max: 32 * MiB })
  await remote.run('await home[Symbol.asyncDispose]()')
  untouched(t, dir, remote.pid, forker)
})

t.test('several at once', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, CONTAINER)(t)
  const paths = await remote.run<string[]>(`
    const options = { settle: true }
    globalThis.homes = await Promise.all([1, 2, 3].map(() => oom.MemoryGroup.home(options)))
    return homes.map(home => home.path)`)
  t.strictSame(paths, [mount, mount, mount])
  await remote.run('await Promise.all(homes.map(home => home.close()))')
  untouched(t, dir, remote.pid)
})

t.test('groups below live on after it is closed', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, CONTAINER)(t)
  const max = await remote.run(`
    const home = await oom.MemoryGroup.home({ settle: true })
    globalThis.job = await home.create('job', { max: '32M' })
    await home.close()
    return (await job.limits()).max`)
  t.equal(max, 32 * MiB)
  t.strictSame(await remote.run('await job.remove(); return 1'), 1)
  t.match(read(dir, 'cgroup.subtree_control'), 'memory')
})

t.test('a leaf that another process has left', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, CONTAINER)(t)
  await settled(remote)
  const home = await under(join(dir, LEAF), [])(t)
  remote.child.kill('SIGKILL')
  await remote.exited
  t.strictSame(await asItIs(home), { path: dir, max: 32 * MiB })
})

t.test('a process that was killed while it undid', v2, async t => {
  for (const place of ['own', 'leaf', 'leaf alone']) {
    const dir = child(scratch(t), 'container', 512 * MiB)
    const leaf = join(dir, LEAF)
    const first = await under(dir, CONTAINER)(t)
    await settled(first)
    const left = await under(leaf, [])(t)
    first.child.kill('SIGKILL')
    await first.exited
    // What it had done by then: the controller is taken back, and some of the processes are.
    write(dir, 'cgroup.subtree_control', '-memory')
    const back = place === 'leaf alone' ? undefined : await under(dir, [])(t)
    const next = await under(place === 'own' ? dir : leaf, [])(t)
    if (back !== undefined) await t.rejects(asItIs(next), { code: 'ERR_GROUP_OCCUPIED' })
    t.strictSame(await settled(next), { path: dir, max: 32 * MiB }, place)
    await close(next)
    if (back !== undefined) untouched(t, dir, left.pid, back.pid, next.pid)
  }
})

t.test('a move that fails half way: all are back', v2, async t => {
  const dir = child(scratch(t), 'container')
  const file = join(mount, LEAF, 'cgroup.procs')
  const inject = ['-e', 'trace=write', '-P', file, '-e', 'inject=write:error=EINVAL:when=2']
  const remote = await under(dir, [
    ...[...CONTAINER, 'strace', '-f', '-qq', '-o', '/dev/null', ...inject],
  ])(t)
  await t.rejects(settled(remote), {
    code: 'ERR_GROUP_OCCUPIED',
    message: /process \d+ \(\w+\) of .* cannot be moved .*back where they were: EINVAL/,
  })
  untouched(t, dir, remote.pid)
})

t.test('a group that takes no group below it', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, CONTAINER)(t)
  write(dir, 'cgroup.max.descendants', 0)
  await t.rejects(settled(remote), { code: 'EAGAIN' })
  untouched(t, dir, remote.pid)
})

t.test('a process whose first thread has ended, and a kernel thread', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, CONTAINER)(t)
  const odd = await Odd.start(t, 'headless', dir, MiB)
  const kernel = readdirSync('/proc').find(pid => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'kswapd0'
    } catch {
      return false
    }
  })
  if (kernel === undefined) return t.fail('no kswapd0')
  const before = readFileSync(`/proc/${kernel}/cgroup`, 'utf8').trim().slice(3)
  write(dir, 'cgroup.procs', Number(kernel))
  t.teardown(() => write(join(mount, before), 'cgroup.procs', Number(kernel)))
  t.strictSame(await settled(remote), { path: mount, max: 32 * MiB })
  t.match(readFileSync(`/proc/${kernel}/cgroup`, 'utf8'), LEAF)
  await close(remote)
  untouched(t, dir, remote.pid)
  t.notMatch(readFileSync(`/proc/${kernel}/cgroup`, 'utf8'), LEAF)
  odd.child.kill('SIGKILL')
})

t.test('members of another PID namespace', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, [...CONTAINER, ...namespaced()])(t)
  await t.rejects(settled(remote), { code: 'ERR_UNSEEN_MEMBERS' })
  untouched(t, dir)
  t.match(read(dir, 'cgroup.procs').trim().split('\n').length, 2)
})

t.test('a rootless container', v2, async t => {
  const { service } = userService(t)
  const dir = delegate(child(service, 'container'))
  const through = [
    ...AS_USER,
    ...unshared(['--user', '--map-root-user', '--mount', '--cgroup'], remounted('-t cgroup2')),
  ]
  const remote = await under(dir, through)(t)
  t.strictSame(await settled(remote), { path: mount, max: 32 * MiB })
  await close(remote)
  untouched(t, dir, remote.pid)
})

t.test('a job in it, out of memory', v2, async t => {
  const dir = child(scratch(t), 'container')
  const remote = await under(dir, CONTAINER)(t)
  const signal = await remote.run(`
    const home = await oom.MemoryGroup.home({ settle: true })
    const group = await home.create('job', { max: '32M' })
    const guard = await group.guard({ delayMs: 60_000 })
    const job = oom.spawn(${JSON.stringify(compiled('hog'))}, [], { group, stdio: ['pipe', 'ignore', 'inherit'] })
    const exited = new Promise(resolve => job.on('exit', (_, signal) => resolve(signal)))
    job.stdin.on('error', () => {})
    job.stdin.write('fill ${64 * MiB}\\n')
    for await (const episode of guard) {
      const killed = await episode.kill('largest').catch(() => [])
      await episode.ended
      if (killed.length > 0) break
    }
    await guard.dispose()
    await group.remove({ kill: true })
    await home.close()
    return exited`)
  t.equal(signal, 'SIGKILL')
  await until(() => !existsSync(join(dir, LEAF)))
  untouched(t, dir, remote.pid)
})
