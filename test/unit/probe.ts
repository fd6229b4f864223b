import t from 'tap'
import type { Capability, ProbeReport } from '../../types/probe.js'
import { probe } from '../../lib/index.js'
import { cgroupMounts, ownGroup } from '../../lib/probe/hierarchy.js'
import { examine } from '../../lib/probe/examine.js'
import { thisMachine, type Machine } from '../../lib/probe/machine.js'

const FIELDS = [
  'addon',
  'memory',
  'writable',
  'watch',
  'guard',
  'guardian',
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

const V1 = '31 23 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n'
const FREEZER = '32 23 0:28 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n'
const UNIFIED = '33 23 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n'

/** A root shell on a machine with v1, but for what is given. */
function machine(files: Record<string, string | undefined>, more: Partial<Machine> = {}): Machine {
  const all: Record<string, string | undefined> = {
    '/proc/self/mountinfo': V1 + FREEZER,
    '/proc/self/cgroup': '5:freezer:/\n4:memory:/a b\n0::/\n',
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
    read: path => all[path],
    access: () => undefined,
    nativeFile: name => `/package/${name}`,
    syscalls: () => ({ pidfd: undefined, mrelease: undefined, inotify: undefined }),
    locking: () => ({ bytes: MIB, allowed: true }),
    ...more,
  }
}

const failed = (report: ProbeReport): string[] => FIELDS.filter(field => !report[field].available)
const refuse =
  (code: string, ...words: string[]): Machine['access'] =>
  path =>
    words.some(word => path.includes(word)) ? code : undefined

t.test('this machine', async t => {
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

t.test('everything there', async t => {
  const report = examine(machine({}))
  t.strictSame(failed(report), [])
  t.match(report, { version: 1, mount: '/sys/fs/cgroup/memory', self: '/sys/fs/cgroup/memory/a b' })
})

t.test('no Linux, no addon', async t => {
  const nothing = (): never => {
    throw new Error('looked')
  }
  const report = examine({
    ...machine({}),
    platform: 'darwin',
    kernel: '',
    addon: new Error('memory cgroups are a Linux feature'),
    read: nothing,
    syscalls: nothing,
    locking: nothing,
  })
  t.strictSame(failed(report), [...FIELDS])
  t.match(report, { version: null, mount: null, self: null, kernel: '' })
  t.match(report.guard, { reason: /Linux feature/, remedy: 'use Linux' })

  const built = examine(machine({}, { addon: new Error('no native addon for linux-riscv64') }))
  t.strictSame(failed(built), [...FIELDS])
  t.equal(built.version, 1, 'what can be seen is told')
  t.match(built.addon, { reason: /riscv64/, remedy: /build/ })
})

t.test('a container with a read-only cgroupfs', async t => {
  const ro = V1.replace('/ /sys', '/docker/1 /sys').replace('rw,relatime', 'ro,nosuid')
  const report = examine(
    machine({ '/proc/self/mountinfo': ro, '/proc/self/cgroup': '4:memory:/docker/1/x\n' }),
  )
  t.equal(report.self, '/sys/fs/cgroup/memory/x')
  t.match(report.writable, { available: false, reason: /read-only/, remedy: /docker run/ })
  t.match(report.guard, { available: false, reason: /read-only/, remedy: /docker run/ })
  t.match(report.freeze, { available: false })
})

t.test('v2 only', async t => {
  const files = {
    '/proc/self/mountinfo': '33 23 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
    '/sys/fs/cgroup/cgroup.controllers': 'cpu memory pids\n',
    '/proc/self/cgroup': '0::/user.slice\n',
    '/sys/fs/cgroup/user.slice/memory.pressure': 'some avg10=0.00',
  }
  const report = examine(machine(files))
  t.match(report, { version: 2, mount: '/sys/fs/cgroup', self: '/sys/fs/cgroup/user.slice' })
  t.strictSame(failed(report), [])
  t.match(report.guard, { available: true, reason: /memory.high/ })
  t.match(report.watch, { reason: 'memory.events.local' })

  const without = examine(machine({ ...files, '/sys/fs/cgroup/cgroup.controllers': 'cpu pids\n' }))
  t.match(without, { version: null, mount: null, self: null })
  t.match(without.memory, { available: false, remedy: /subtree_control/ })
  t.match(without.guard, { available: false, remedy: /subtree_control/ })
})

t.test('v2: who pays, delegation, read-only, the root', async t => {
  const at = '/sys/fs/cgroup'
  const own = `${at}/user.slice/app`
  const files = {
    '/proc/self/mountinfo': `33 23 0:29 / ${at} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n`,
    '/proc/self/cgroup': '0::/user.slice/app\n',
    [`${at}/cgroup.controllers`]: 'cpu memory pids\n',
    [`${own}/cgroup.subtree_control`]: 'memory\n',
    [`${own}/memory.pressure`]: 'some avg10=0.00',
  }
  const v2 = (more: object = {}, access?: Machine['access']) =>
    examine(machine({ ...files, ...more }, access ? { access } : {}))
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
  t.match(v2({}, refuse('ENOENT', `${own}/memory.current`)).self, `${at}/user.slice`)
  t.match(v2({}, refuse('EACCES', '/sys/fs/cgroup')).writable, { remedy: /Delegate=yes/ })
  t.match(v2({}, refuse('EACCES', 'cgroup.procs')).writable, { reason: /not delegated/ })
  t.match(v2({}, refuse('EROFS', '/sys/fs/cgroup')).writable, { reason: /read-only/ })
  t.match(v2({}, refuse('ENOENT', 'memory.events.local')).watch, { remedy: /5\.2/ })
  const root = { '/proc/self/cgroup': '0::/\n' }
  const bare = refuse('ENOENT', 'cgroup.type')
  t.strictSame(failed(v2(root, bare)), [])
  t.equal(v2(root, bare).self, at)
  const told = { ...root, '/proc/cmdline': 'swapaccount=0' }
  t.match(v2(told, bare).swap, { available: true }, 'Linux 6.1 takes no notice of it')
  const old = machine({ ...files, ...told }, { access: bare, kernel: '5.10.0' })
  t.match(examine(old).swap, { available: false })
  // What a container sees as the root has all that a group has.
  const pressed = { ...root, [`${at}/memory.pressure`]: 'some avg10=0.00' }
  t.match(v2(pressed), {
    self: at,
    writable: { reason: /while it has processes of its own/ },
    pressure: { reason: `${at}/memory.pressure` },
  })
  t.match(v2(pressed, refuse('ENOENT', 'swap.max')).swap, { available: false })
})

t.test('v1 without its memory controller, and hybrid', async t => {
  t.match(examine(machine({ '/proc/self/mountinfo': FREEZER })).memory, {
    available: false,
    remedy: /CONFIG_MEMCG_V1.*6\.12/,
  })
  t.match(examine(machine({ '/proc/self/mountinfo': '' })).memory, {
    reason: /no cgroup hierarchy/,
  })
  t.match(
    examine(
      machine({ '/proc/self/mountinfo': FREEZER, '/proc/cmdline': 'quiet cgroup_disable=memory' }),
    ).memory,
    { remedy: /boot without that option/ },
  )
  const hybrid = examine(machine({ '/proc/self/mountinfo': UNIFIED + FREEZER + V1 }))
  t.match(hybrid, { version: 1, mount: '/sys/fs/cgroup/memory' })
})

t.test('one thing missing at a time', async t => {
  const cases: [string, Machine, string[], RegExp][] = [
    [
      'another user',
      machine({}, { uid: 1000, access: refuse('EACCES', '/sys/fs/cgroup') }),
      ['writable', 'guard', 'swap'],
      /./,
    ],
    ['PREEMPT_RT', machine({ '/sys/kernel/realtime': '1\n' }), ['watch', 'guard'], /PREEMPT_RT/],
    ['no PSI', machine({}, { access: refuse('ENOENT', '/proc/pressure') }), ['pressure'], /PSI/],
    ['psi=0', machine({ '/proc/pressure/memory': undefined }), ['pressure'], /psi=1/],
    ['no freezer', machine({ '/proc/self/mountinfo': V1 }), ['freeze'], /freezer/],
    [
      'no swap accounting',
      machine({}, { access: refuse('ENOENT', 'memsw') }),
      ['swap'],
      /swapaccount/,
    ],
    ['no guardian', machine({}, { nativeFile: () => undefined }), ['guardian'], /guardian/],
    [
      'old kernel',
      machine({}, { syscalls: () => ({ pidfd: 'ENOSYS', mrelease: 'ENOSYS', inotify: undefined }) }),
      ['pidfd', 'mrelease'],
      /5\./,
    ],
    [
      'seccomp',
      machine({}, { syscalls: () => ({ pidfd: 'EPERM', mrelease: undefined, inotify: undefined }) }),
      ['pidfd'],
      /seccomp/,
    ],
    [
      'memlock',
      machine({}, { locking: scope => ({ bytes: MIB, allowed: scope === 0 }) }),
      ['lockProcess'],
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

t.test('mountinfo and /proc/self/cgroup', async t => {
  const [mount] = cgroupMounts(
    '1 2 0:1 /root\\040dir /mnt\\040a\\134b ro shared:1 master:2 - cgroup none rw,cpu,memory\n',
  )
  t.match(mount, { version: 1, root: '/root dir', path: '/mnt a\\b', readOnly: true })
  t.equal(ownGroup('7:cpu,memory:/root dir/x:y\n', mount!), '/mnt a\\b/x:y')
  t.equal(ownGroup('7:cpu,memory:/root dir\n', mount!), '/mnt a\\b')
  t.equal(ownGroup('7:cpu,memory:/root dirx\n', mount!), null, 'not below what is mounted')
  t.equal(ownGroup('7:cpu,memory:/../other\n', mount!), null, 'outside the namespace')
  t.equal(ownGroup('0::/root dir\n', mount!), null)
  const hidden = V1.replace('/ /sys', '/../.. /sys')
  t.match(cgroupMounts(hidden + V1), [{ root: '/' }], 'a mount on top of another hides it')
  for (const text of ['', 'x', '1 2 3', '- cgroup', '\n - cgroup a memory']) {
    t.strictSame(cgroupMounts(text), [])
  }
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
