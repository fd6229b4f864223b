import t from 'tap'
import type { Capability, ProbeReport } from '../../types/probe.js'
import { probe } from '../../lib/index.js'
import type { Hierarchies, Mount } from '../../lib/native/group.js'
import { examine } from '../../lib/probe/examine.js'
import { thisMachine, type Machine } from '../../lib/probe/machine.js'

const FIELDS = [
  'addon',
  'memory',
  'writable',
  'home',
  'watch',
  'guard',
  'guardBySignals',
  'guardian',
  'spawn',
  'pressure',
  'freeze',
  'swap',
  'lockOomPath',
  'lockProcess',
  'protect',
  'pidfd',
  'mrelease',
  'inotify',
] as const

const MIB = 1024 * 1024

const v1 = (name: string): Mount => ({
  version: 1,
  root: '/',
  path: `/sys/fs/cgroup/${name}`,
  readOnly: false,
  options: `rw,${name}`,
})
const V1 = v1('memory')
const FREEZER = v1('freezer')
const V2: Mount = { version: 2, root: '/', path: '/sys/fs/cgroup', readOnly: false, options: 'rw' }

/** What the core finds (test/native/hierarchy_test.cc), for a process in this group. */
const places = (
  memory: Mount | null,
  self: string | null,
  ...others: Mount[]
): Partial<Machine> => {
  const mounts = memory === null ? others : [memory, ...others]
  return { hierarchies: (): Hierarchies => ({ mounts, memory, self }) }
}

/** A root shell on a machine with v1, but for what is given. */
function machine(files: Record<string, string | undefined>, more: Partial<Machine> = {}): Machine {
  const all: Record<string, string | undefined> = {
    '/proc/self/status': 'Name:\tnode\nCapEff:\t000001ffffffffff\n',
    '/proc/self/uid_map': '         0          0 4294967295\n',
    '/proc/pressure/memory': 'some avg10=0.00',
    ...files,
  }
  return {
    platform: 'linux',
    arch: 'x64',
    kernel: '6.1.0',
    uid: 0,
    addon: undefined,
    hierarchies: () => ({ mounts: [V1, FREEZER], memory: V1, self: `${V1.path}/a b` }),
    read: path => all[path],
    access: () => undefined,
    nativeFile: name => `/package/${name}`,
    fault: () => undefined,
    syscalls: () => ({ pidfd: undefined, mrelease: undefined, inotify: undefined }),
    locking: () => ({ bytes: MIB, allowed: true }),
    exists: path => all[path] !== undefined,
    env: {},
    heapLimit: 2048 * MIB,
    children: () => [],
    ...more,
  }
}

const failed = (report: ProbeReport): string[] => FIELDS.filter(field => !report[field].available)
const refuse =
  (code: string, ...words: string[]): Machine['access'] =>
  path =>
    words.some(word => path.includes(word)) ? code : undefined

t.test('probe() of this machine resolves with all fields', async t => {
  const report = await probe()
  t.equal(report.platform, process.platform)
  for (const field of FIELDS) {
    const found: Capability = report[field]
    t.type(found.available, 'boolean', field)
    t.ok(found.reason, field)
    t.equal(typeof found.remedy, found.available ? 'undefined' : 'string', field)
  }
  t.ok(report.addon.available)
})

t.test('on a complete machine all is available', async t => {
  const report = examine(machine({}))
  t.strictSame(failed(report), [])
  t.match(report, { version: 1, mount: '/sys/fs/cgroup/memory', self: '/sys/fs/cgroup/memory/a b' })
})

t.test('no Linux, no addon', async t => {
  const nothing = (): never => {
    throw new Error('read')
  }
  const report = examine({
    ...machine({}),
    platform: 'darwin',
    kernel: '',
    addon: { reason: 'memory cgroups are a Linux feature', remedy: 'use Linux' },
    hierarchies: nothing,
    read: nothing,
    syscalls: nothing,
    locking: nothing,
  })
  t.strictSame(failed(report), [...FIELDS])
  t.match(report, { version: null, mount: null, self: null, kernel: '' })
  t.match(report.guard, { reason: /Linux feature/, remedy: 'use Linux' })

  const addon = { reason: 'no native files for linux-riscv64', remedy: 'install it there' }
  const built = examine(machine({}, { addon }))
  t.strictSame(failed(built), [...FIELDS])
  t.match(built.addon, { reason: /riscv64/, remedy: addon.remedy })
})

t.test('a container with a read-only cgroupfs', async t => {
  const ro = { ...V1, root: '/docker/1', readOnly: true }
  const report = examine(machine({}, places(ro, `${ro.path}/x`)))
  t.equal(report.self, '/sys/fs/cgroup/memory/x')
  t.match(report.writable, { available: false, reason: /read-only/, remedy: /docker run/ })
  t.match(report.guard, { available: false, reason: /read-only/, remedy: /signals.*docker run/ })
  t.notMatch(JSON.stringify(report), /privileged/)
  t.match(report.freeze, { available: false })
})

t.test('a group held by signals needs to be readable, and no more', async t => {
  const nothing = machine({}, { access: (_, how) => (how === 'write' ? 'EROFS' : undefined) })
  t.match(examine(nothing).guardBySignals, { available: true, reason: /a b can be read/ })
  for (const file of ['memory.usage_in_bytes', 'memory.limit_in_bytes', 'memory.oom_control']) {
    const hidden = examine(machine({}, { access: refuse('EACCES', file) })).guardBySignals
    t.match(hidden, { available: false, reason: new RegExp(`${file}.*EACCES`) }, file)
  }
  const root = places(V2, V2.path)
  const report = examine(machine({}, { ...root, access: refuse('ENOENT', 'cgroup.type') }))
  t.match(report.guardBySignals, { available: true, reason: /groups below/ })
})

t.test('the group that is meant is judged, not the one that this process is in', async t => {
  const other = `${V1.path}/jobs/7`
  const limits = {
    [`${V1.path}/a b/memory.limit_in_bytes`]: String(64 * MIB),
    [`${V1.path}/jobs/memory.limit_in_bytes`]: String(512 * MIB),
  }
  const closed: Machine['access'] = (path, how) =>
    how === 'write' && (path.startsWith(`${V1.path}/jobs`) || path === V1.path)
      ? 'EACCES'
      : undefined
  const of = machine(limits, { access: closed })
  t.match(examine(of), { group: `${V1.path}/a b`, writable: { available: true } })
  t.ok(examine(of).notes.some(({ about }) => about === 'heap'))
  const report = examine(of, undefined, other)
  t.match(report, { self: `${V1.path}/a b`, group: other, bounds: { limit: 512 * MIB } })
  t.match(report.writable, { available: false, reason: /jobs\/7 belongs to another user/ })
  t.match(report.home, { available: false, reason: /jobs\/7/ })
  t.strictSame(report.notes, [], 'notes about this process are for its own group')

  const v2 = machine({}, places(V1, `${V1.path}/x`, V2))
  t.match(examine(v2, undefined, '/sys/fs/cgroup/user.slice'), { version: 2, mount: V2.path })
})

t.test('v2 only', async t => {
  const files = { '/sys/fs/cgroup/user.slice/memory.pressure': 'some avg10=0.00' }
  const report = examine(machine(files, places(V2, '/sys/fs/cgroup/user.slice')))
  t.match(report, { version: 2, mount: '/sys/fs/cgroup', self: '/sys/fs/cgroup/user.slice' })
  t.strictSame(failed(report), [])
  t.match(report.guard, { available: true, reason: /memory.high/ })
  t.match(report.watch, { reason: 'memory.events.local' })

  const without = examine(machine(files, places(null, null, V2)))
  t.match(without, { version: null, mount: null, self: null })
  t.match(without.memory, { available: false, remedy: /subtree_control/ })
  t.match(without.guard, { available: false, remedy: /subtree_control/ })
})

t.test('v2: the charged group, delegation, read-only, the root', async t => {
  const at = '/sys/fs/cgroup'
  const own = `${at}/user.slice/app`
  const files = {
    [`${own}/cgroup.subtree_control`]: 'memory\n',
    [`${own}/memory.pressure`]: 'some avg10=0.00',
  }
  const v2 = (more: object = {}, access?: Machine['access'], self = own) =>
    examine(machine({ ...files, ...more }, { ...places(V2, self), ...(access ? { access } : {}) }))
  t.match(v2(), {
    self: own,
    writable: { reason: `${own} can be written` },
    pressure: { reason: `${own}/memory.pressure` },
    swap: { available: true },
  })
  t.match(v2({ [`${own}/cgroup.subtree_control`]: 'pids\n' }).writable, {
    available: true,
    reason: /while it has processes of its own/,
  })
  const closed = refuse('EACCES', '/sys/fs/cgroup')
  t.match(v2({}, closed).writable, { remedy: /delegate it: chown/ })
  t.match(v2({ '/run/systemd/system': '' }, closed).writable, { remedy: /Delegate=yes/ })
  t.match(v2({}, refuse('EACCES', 'cgroup.procs')).writable, { reason: /not delegated/ })
  t.match(v2({}, refuse('EROFS', '/sys/fs/cgroup')).writable, { reason: /read-only/ })
  t.match(v2({}, refuse('ENOENT', 'memory.events.local')).watch, { remedy: /5\.2/ })
  const bare = refuse('ENOENT', 'cgroup.type')
  t.strictSame(failed(v2({}, bare, at)), [])
  t.equal(v2({}, bare, at).self, at)
  const option = { '/proc/cmdline': 'swapaccount=0' }
  t.match(v2(option, bare, at).swap, { available: true }, 'Linux 6.1 takes no notice of it')
  const old = machine(
    { ...files, ...option },
    { ...places(V2, at), access: bare, kernel: '5.10.0' },
  )
  t.match(examine(old).swap, { available: false })
  // What a container sees as the root has all that a group has.
  const pressed = { [`${at}/memory.pressure`]: 'some avg10=0.00' }
  t.match(v2(pressed, undefined, at), {
    self: at,
    writable: { reason: /while it has processes of its own/ },
    pressure: { reason: `${at}/memory.pressure` },
  })
  t.match(v2(pressed, refuse('ENOENT', 'swap.max'), at).swap, { available: false })
})

t.test('v1 without its memory controller', async t => {
  t.match(examine(machine({}, places(null, null, FREEZER))).memory, {
    available: false,
    remedy: /CONFIG_MEMCG_V1.*6\.12/,
  })
  t.match(examine(machine({}, places(null, null))).memory, {
    reason: /no cgroup hierarchy/,
  })
  t.match(
    examine(
      machine({ '/proc/cmdline': 'quiet cgroup_disable=memory' }, places(null, null, FREEZER)),
    ).memory,
    { remedy: /boot without that option/ },
  )
})

t.test('each missing thing is reported with its remedy', async t => {
  const cases: [string, Machine, string[], RegExp][] = [
    [
      'another user',
      machine({}, { uid: 1000, access: refuse('EACCES', '/sys/fs/cgroup') }),
      ['writable', 'home', 'watch', 'guard', 'guardBySignals', 'swap'],
      /./,
    ],
    ['PREEMPT_RT', machine({ '/sys/kernel/realtime': '1\n' }), ['watch', 'guard'], /PREEMPT_RT/],
    ['no PSI', machine({}, { access: refuse('ENOENT', '/proc/pressure') }), ['pressure'], /PSI/],
    ['psi=0', machine({ '/proc/pressure/memory': undefined }), ['pressure'], /psi=1/],
    ['no freezer', machine({}, places(V1, V1.path)), ['freeze'], /freezer/],
    [
      'no swap accounting',
      machine({}, { access: refuse('ENOENT', 'memsw') }),
      ['swap'],
      /swapaccount/,
    ],
    [
      'no programs',
      machine({}, { nativeFile: () => undefined }),
      ['guardian', 'spawn'],
      /install the package again/,
    ],
    [
      'a launcher that cannot be executed',
      machine(
        {},
        {
          fault: file =>
            file.endsWith('launcher')
              ? { code: 'EACCES', reason: 'no x bit', remedy: 'chmod +x it' }
              : undefined,
        },
      ),
      ['spawn'],
      /chmod/,
    ],
    [
      'old kernel',
      machine(
        {},
        { syscalls: () => ({ pidfd: 'ENOSYS', mrelease: 'ENOSYS', inotify: undefined }) },
      ),
      ['pidfd', 'mrelease'],
      /5\./,
    ],
    [
      'seccomp',
      machine(
        {},
        { syscalls: () => ({ pidfd: 'EPERM', mrelease: undefined, inotify: undefined }) },
      ),
      ['pidfd'],
      /seccomp/,
    ],
    [
      'memlock',
      machine({}, { locking: scope => ({ bytes: MIB, allowed: scope === 'oom-path' }) }),
      ['lockProcess'],
      /RLIMIT|ulimit/,
    ],
    [
      'memlock, for the first guard',
      machine({}, { locking: scope => ({ bytes: MIB, allowed: scope === 'process' }) }),
      ['lockOomPath'],
      /RLIMIT|ulimit/,
    ],
    [
      'no capability',
      machine({ '/proc/self/status': 'CapEff:\t0000000000000000\n' }),
      ['protect'],
      /OOMScoreAdjust/,
    ],
    [
      'user namespace',
      machine({ '/proc/self/uid_map': '0 1000 1\n' }),
      ['protect'],
      /OOMScoreAdjust/,
    ],
    [
      'a check that fails',
      machine(
        {},
        {
          locking: () => {
            throw new Error('odd')
          },
        },
      ),
      ['lockOomPath', 'lockProcess'],
      /report/,
    ],
  ]
  for (const [name, one, expected, remedy] of cases) {
    const report = examine(one)
    t.strictSame(failed(report), expected, name)
    for (const field of expected) t.match(report[field as 'memory'].remedy, remedy, name)
  }
})

t.test('without inotify there is a remedy, and guarding works all the same', async t => {
  for (const [inotify, remedy] of [
    ['EMFILE', /max_user_instances/],
    ['ENOSPC', /max_user_watches/],
    ['EPERM', /seccomp/],
  ] as const) {
    const syscalls = () => ({ pidfd: undefined, mrelease: undefined, inotify })
    const report = examine(machine({}, { syscalls }))
    t.strictSame(failed(report), ['inotify'])
    t.match(report.inotify, { available: false, reason: new RegExp(inotify), remedy })
  }
})

t.test('what the core finds is what probe() reports', async t => {
  const { mounts, memory, self } = thisMachine().hierarchies()
  t.match(await probe(), { mount: memory?.path ?? null, self, version: memory?.version ?? null })
  if (memory !== null) t.ok(mounts.some(({ path }) => path === memory.path))
  t.equal(thisMachine().access('/nothing/here', 'exists'), 'ENOENT')
})

t.test('v1 whose limits do not count the groups below', async t => {
  const at = '/sys/fs/cgroup/memory/memory.use_hierarchy'
  t.match(examine(machine({ [at]: '0\n' })).memory, {
    available: true,
    reason: /do not count the groups below/,
  })
  t.notMatch(examine(machine({ [at]: '1\n' })).memory.reason, /groups below/)
  t.notMatch(examine(machine({})).memory.reason, /groups below/)
})
