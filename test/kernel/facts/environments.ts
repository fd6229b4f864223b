// What probe() reports, and what groups can be made, where the hierarchy is not root's on a bare machine: in
// containers, read-only, delegated to a user or not. Each environment is that of a process of its own.
// lab: short on 6.1/v2
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { runtimeOf, thisLook } from '../../../lib/base/runtime.js'
import type { ProbeReport } from '../../../lib/index.js'
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
  USER,
  userService,
} from '../../helpers/containers.js'
import { Remote, type RemoteOptions } from '../../helpers/remote.js'
import { MiB, mount, onV1, onV2, version } from '../../helpers/memory-files.js'
import { child, plainChild, scratch } from '../../helpers/scratch.js'

/** Whether this machine is a container itself is its own affair. */
const standing = () => ({ kind: runtimeOf(thisLook) === undefined ? 'delegated' : 'container' })

const probe = (remote: Remote): Promise<ProbeReport> => remote.run('return oom.probe()')

/** Makes a group, limits, watches and guards it, runs a job in it out of memory, and removes it. */
async function work(t: Test, remote: Remote, at: string): Promise<void> {
  const seen = await remote.run<Record<string, unknown>>(`
    const group = await oom.MemoryGroup.create(${JSON.stringify(at)}, { max: '32M' })
    const { max } = await group.limits()
    const watch = group.watch()
    const guard = await group.guard({ delayMs: 60_000 })
    const job = oom.spawn(${JSON.stringify(compiled('hog'))}, [], { group, stdio: ['pipe', 'ignore', 'inherit'] })
    const exited = new Promise(resolve => job.on('exit', (_, signal) => resolve(signal)))
    job.stdin.on('error', () => {})
    job.stdin.write('fill ${64 * MiB}\\n')
    let members, killed, end
    for await (const episode of guard) {
      members = await group.pids()
      // One at the very line may be over before it is answered: then the next one follows.
      killed = await episode.kill('largest').catch(() => [])
      end = await episode.ended
      if (killed.length > 0) break
    }
    const signal = await exited
    await guard.dispose()
    await group.remove()
    let last
    for await (const event of watch) last = event.type
    return { max, job: job.pid, members, killed, outcome: end.outcome, signal, last }
  `)
  t.match(seen, { max: 32 * MiB, outcome: 'killed', signal: 'SIGKILL', last: 'removed' })
  t.strictSame(seen.members, [seen.job], 'spawned into it')
  t.strictSame(seen.killed, [seen.job])
  t.notOk(existsSync(at))
}

/** Moves into a group of its own below, so that the one it is in can have groups with limits. */
const settle = (remote: Remote, at: string): Promise<unknown> =>
  remote.run(`
    fs.mkdirSync(${JSON.stringify(join(at, 'init'))})
    fs.writeFileSync(${JSON.stringify(join(at, 'init/cgroup.procs'))}, String(process.pid))
  `)

const create = (at: string): string => `await oom.MemoryGroup.create(${JSON.stringify(at)})`
const opened = (at: string, then: string): string =>
  `const group = await oom.MemoryGroup.open(${JSON.stringify(at)}); return ${then}`

function start(
  t: Test,
  home: string,
  through: string[],
  more: RemoteOptions = {},
): Promise<Remote> {
  return Remote.start(t, { home, through, ...more })
}

t.test('root on the machine itself', async t => {
  const dir = scratch(t)
  const home = child(dir, 'home')
  const remote = await start(t, home, [])
  const report = await probe(remote)
  t.match(report, { version, mount, self: home, place: standing(), home: { available: true } })
  for (const field of ['memory', 'writable', 'watch', 'guard', 'guardian'] as const) {
    t.match(report[field], { available: true }, field)
  }
  t.equal(await remote.run("return (await oom.MemoryGroup.of('self')).path"), home)
  await work(t, remote, join(dir, 'job'))
})

t.test('mounted read-only, as in a container without rights', mounts, async t => {
  const home = scratch(t)
  const dir = scratch(t, 64 * MiB)
  const remote = await start(t, home, readOnly())
  const report = await probe(remote)
  t.match(report, { version, mount, self: home, place: { kind: 'read-only' } })
  t.match(report.place, { works: /usage\(\).*by: 'signals'/, more: /writable-cgroups=true/ })
  t.match(report.home, { available: false, reason: /read-only/, remedy: /writable-cgroups=true/ })
  const why = { available: false, reason: /read-only/, remedy: /writable-cgroups=true/ }
  t.match(report.writable, why)
  t.match(report.guard, why)
  t.match(report.guardBySignals, { available: true })
  const refused = { code: 'EROFS', message: /read-only.*by: 'signals'.*writable-cgroups=true/ }
  await t.rejects(remote.run(create(join(dir, 'x'))), refused)
  await t.rejects(remote.run(opened(dir, "group.setLimits({ max: '1M' })")), refused)
  await t.rejects(remote.run(opened(dir, 'group.guard({ delayMs: 1 })')), refused)
  await t.rejects(remote.run(opened(dir, 'group.add(process.pid)')), refused)
  t.equal(
    await remote.run(opened(dir, '(await group.limits()).max')),
    64 * MiB,
    'reading is allowed',
  )
  if (version === 2) {
    t.match(report.watch, { available: true })
    t.equal(await remote.run(opened(dir, '(await group.watch().return()).done')), true)
  } else {
    t.match(report.watch, { available: false, remedy: /writable-cgroups=true/ })
    await t.rejects(remote.run(opened(dir, 'group.watch().next()')), refused)
  }
})

t.test('another user, to whom nothing is delegated', async t => {
  const home = scratch(t)
  const dir = scratch(t, 64 * MiB)
  const remote = await start(t, home, MEMLOCK, { nobody: true })
  const report = await probe(remote)
  t.match(report, { self: home, place: { kind: 'read-only', more: /chown/ } })
  t.match(report.home, { available: false, reason: /EACCES/, remedy: /chown/ })
  const remedy = /chown the directory/
  t.match(report.writable, { available: false, reason: /EACCES/, remedy })
  t.match(report.guard, { available: false, reason: /EACCES/, remedy })
  t.match(report.guardBySignals, { available: true })
  const refused = { code: 'EACCES', message: /not delegated to this user.*chown/ }
  await t.rejects(remote.run(create(join(dir, 'x'))), refused)
  await t.rejects(remote.run(opened(dir, "group.setLimits({ max: '1M' })")), refused)
  await t.rejects(remote.run(opened(dir, 'group.guard({ delayMs: 1 })')), refused)
  await t.rejects(remote.run(opened(dir, 'group.add(process.pid)')), {
    code: 'EACCES',
    message: /delegat/,
  })
  t.equal(await remote.run(opened(dir, '(await group.limits()).max')), 64 * MiB)
})

t.test('a user to whom systemd has delegated a tree', lab, async t => {
  const { service, home } = userService(t)
  const remote = await start(t, home, AS_USER)
  t.equal(await remote.run('return process.getuid()'), USER)
  const report = await probe(remote)
  t.match(report, {
    version,
    self: home,
    place: standing(),
    home: { available: true },
    writable: { available: true },
    guard: { available: true },
  })
  t.match(report.protect, { available: false, remedy: /OOMScoreAdjust/ })
  await work(t, remote, join(service, 'job'))
  await t.rejects(remote.run(create(join(dirname(service), 'x'))), {
    code: 'EACCES',
    message: /delegated/,
  })
  if (version === 1) return
  await t.rejects(remote.run(opened(service, "group.setLimits({ max: '1M' })")), {
    code: 'EACCES',
    message: /delegated/,
  })
  // Out of what was delegated, and in from outside.
  const outside = child(scratch(t), 'outside')
  delegate(outside)
  await t.rejects(remote.run(opened(outside, 'group.add(process.pid)')), {
    code: 'EACCES',
    message: /nearest group that is above both/,
  })
})

t.test('a container with a cgroup namespace', lab, async t => {
  const home = child(scratch(t), 'container')
  const type = version === 2 ? '-t cgroup2' : '-t cgroup -o memory'
  const remote = await start(t, home, unshared(['--mount', '--cgroup'], remounted(type)))
  t.match(await probe(remote), { version, mount, self: mount })
  t.equal(await remote.run("return (await oom.MemoryGroup.of('self')).path"), mount)
  // With nsdelegate, as systemd mounts it.
  const refused = { code: 'EPERM', message: /from outside/ }
  if (version === 2) await inside(t, remote, refused)
  await settle(remote, mount)
  await work(t, remote, join(mount, 'job'))
})

/** v2: what the group is that a container sees as the root. */
async function inside(
  t: Test,
  remote: Remote,
  refused: { code: string; message: RegExp },
): Promise<void> {
  t.match(await probe(remote), {
    writable: { available: true, reason: /while it has processes of its own/ },
    pressure: { reason: join(mount, 'memory.pressure') },
  })
  await t.rejects(remote.run(create(join(mount, 'job'))), {
    code: 'EBUSY',
    message: /no-internal-process.*move them into a group below/,
  })
  await t.rejects(remote.run(opened(mount, "group.setLimits({ max: '1G' })")), refused)
}

t.test(
  'a container without one, on v1',
  version === 1 ? mounts : onV1('v2 has namespaces'),
  async t => {
    const home = child(scratch(t), 'container')
    const remote = await start(t, home, unshared(['--mount'], `mount --bind ${home} ${mount}`))
    t.match(await probe(remote), { version: 1, mount, self: mount })
    t.equal(await remote.run("return (await oom.MemoryGroup.of('self')).path"), mount)
    await work(t, remote, join(mount, 'job'))
  },
)

t.test(
  'a rootless container',
  version === 1 ? onV2('v1 delegates to no container') : lab,
  async t => {
    const { service } = userService(t)
    const home = delegate(child(service, 'container'))
    const remote = await start(t, home, [
      ...AS_USER,
      ...unshared(['--user', '--map-root-user', '--mount', '--cgroup'], remounted('-t cgroup2')),
    ])
    t.equal(await remote.run('return process.getuid()'), 0, 'root, as it seems')
    t.match(await probe(remote), { version, mount, self: mount, writable: { available: true } })
    t.match((await probe(remote)).protect, { available: false, reason: /user namespace/ })
    await inside(t, remote, { code: 'EACCES', message: /not delegated/ })
    await settle(remote, mount)
    await work(t, remote, join(mount, 'job'))
  },
)

t.test('mounts that are hidden, and several', mounts, async t => {
  const home = scratch(t)
  const dir = scratch(t, 64 * MiB)
  const type = version === 2 ? '-t cgroup2' : '-t cgroup -o memory'
  const top = '/tmp/cgroup-oom-test-mounts'
  const at = `${top}/m`
  const place = join(at, dir.slice(mount.length))
  const over = (hidden: string): string =>
    `mkdir -p ${top} && mount -t tmpfs none ${top} && mkdir ${at} && mount ${type} none ${at} && mount -t tmpfs none ${hidden}`
  const cases: [how: string, setUp: string, expected: string][] = [
    ['a later mount on the same directory', over(mount), at],
    ['a later mount on a directory above', over(dirname(mount)), at],
    // A part of it, listed before.
    [
      'a part of the hierarchy that this process is not in',
      `mkdir -p ${top} && mount -t tmpfs none ${top} && mkdir ${at} ${top}/part && mount --bind ${dir} ${top}/part && mount ${type} none ${at} && mount -t tmpfs none ${dirname(mount)}`,
      at,
    ],
  ]
  for (const [how, setUp, expected] of cases) {
    const remote = await start(t, home, unshared(['--mount'], setUp))
    const report = await probe(remote)
    const self = join(expected, home.slice(mount.length))
    t.match(report, { version, mount: expected, self, memory: { available: true } }, how)
    t.equal(await remote.run("return (await oom.MemoryGroup.of('self')).path"), self, how)
    t.equal(await remote.run(opened(place, '(await group.limits()).max')), 64 * MiB, how)
    t.equal(
      await remote.run(opened(relative(mount, dir), '(await group.limits()).max')),
      64 * MiB,
      how,
    )
  }
  const nothing = `mount -t tmpfs none ${dirname(mount)}`
  const remote = await start(t, home, unshared(['--mount'], nothing))
  t.match(await probe(remote), {
    version: null,
    mount: null,
    memory: { available: false },
    place: { kind: 'none', works: /simulate/, more: /mount/ },
  })
  await t.rejects(remote.run("return (await oom.MemoryGroup.of('self')).path"), {
    code: 'ERR_CGROUP_UNSUPPORTED',
  })
})

t.test('hybrid: v1 has the memory controller', version === 2 ? onV1('hybrid') : lab, async t => {
  const dir = scratch(t)
  const unified = join(dirname(mount), 'unified')
  mkdirSync(unified, { recursive: true })
  const remote = await start(
    t,
    child(dir, 'home'),
    unshared(['--mount'], `mount -t cgroup2 none ${unified}`),
  )
  t.match(await probe(remote), { version: 1, mount, self: join(dir, 'home') })
  await t.rejects(remote.run(opened(unified, '1')), {
    code: 'ERR_NOT_A_MEMORY_CGROUP',
    message: /without the memory controller, which is mounted as v1/,
  })
  await t.rejects(remote.run(create(join(unified, 'x'))), { code: 'ERR_NOT_A_MEMORY_CGROUP' })
  await work(t, remote, join(dir, 'job'))
})

t.test('a group that was not given the controller', onV2('v1 groups all have it'), async t => {
  const dir = scratch(t)
  const home = plainChild(dir, 'plain')
  const remote = await start(t, home, [])
  const not = {
    code: 'ERR_NOT_A_MEMORY_CGROUP',
    message: /\+memory into the cgroup\.subtree_control.*MemoryAccounting/,
  }
  t.equal((await probe(remote)).self, dir, 'the one above pays')
  t.equal(await remote.run("return (await oom.MemoryGroup.of('self')).path"), dir)
  await t.rejects(remote.run(opened(home, '1')), not)
  await t.rejects(remote.run(create(join(home, 'x'))), not)
  t.notOk(existsSync(join(home, 'x')))
})

t.test('nothing is left mounted', async t => {
  const text = execFileSync('cat', ['/proc/self/mounts'], { encoding: 'utf8' })
  t.notMatch(text, 'cgroup-oom-test-')
})
