// Which place this is, what there is to switch, how a home is had, and how processes are moved: rules alone.
import t from 'tap'
import {
  delegationSwitch,
  EVERY_SWITCH,
  isReadOnly,
  readOnlySwitch,
  runtimeOf,
  SWITCHES,
  withSwitch,
  type Look,
  type Runtime,
} from '../../lib/base/runtime.js'
import { OomError } from '../../lib/base/errors.js'
import { placeKind, switchFor, wayHome } from '../../lib/place/decide.js'
import type { Room } from '../../lib/place/plain-group.js'
import { scopeRequest } from '../../lib/place/scope.js'
import { settle } from '../../lib/place/settle.js'
import { signsOf, type GroupSigns, type PlaceLook, type Signs } from '../../lib/place/signs.js'
import {
  managerFor,
  propertiesOf,
  runtimeDirectory,
  unitIn,
  type Unit,
} from '../../lib/place/unit.js'

const look = (files: Record<string, string>, env: NodeJS.ProcessEnv = {}): Look => ({
  read: path => files[path],
  exists: path => files[path] !== undefined,
  env,
})

t.test('whether a path is mounted read-only', async t => {
  const line = (at: string, options: string, of = 'rw') =>
    `30 24 0:26 / ${at} ${options},relatime shared:9 - cgroup cgroup ${of},memory\n`
  const mountinfo = [
    line('/', 'rw'),
    line('/cg', 'ro'),
    line('/cg/memory', 'rw'),
    line('/cg/memory/box', 'rw', 'ro'),
    line('/again', 'ro'),
    line('/again', 'rw'),
  ]
  const at = look({ '/proc/self/mountinfo': mountinfo.join('') })
  for (const [path, readOnly] of [
    ['/x', false],
    ['/cg', true],
    ['/cg/cpu', true],
    ['/cgroup', false],
    ['/cg/memory/job', false],
    ['/cg/memory/box/job', true],
    ['/again/x', false],
  ] as const) {
    t.equal(isReadOnly(at, path), readOnly, path)
  }
  t.equal(isReadOnly(look({}), '/x'), false)
})

t.test('the runtime, by what it leaves behind', async t => {
  const mounted = (source: string) => ({
    '/proc/self/mountinfo': `612 601 254:1 ${source} /etc/hosts rw - ext4 /dev/vda1 rw\n`,
  })
  const first = (group: string) => ({ '/proc/1/cgroup': `0::${group}\n` })
  const pod = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
  const cases: [Record<string, string>, NodeJS.ProcessEnv, Runtime | undefined][] = [
    [{}, {}, undefined],
    [{ '/run/systemd/system': '' }, {}, 'systemd'],
    [{ '/.dockerenv': '' }, {}, 'docker'],
    [first('/docker/0123'), {}, 'docker'],
    [first('/system.slice/docker-0123.scope'), {}, 'docker'],
    [first('/system.slice/docker.service'), {}, undefined],
    [{ '/run/.containerenv': 'engine="podman-4.9"\n' }, {}, 'podman'],
    [{}, { container: 'podman' }, 'podman'],
    [first('/machine.slice/libpod-0123.scope'), {}, 'podman'],
    [{ ...mounted('/nerdctl/1935db59/containers/default/0123/hosts') }, {}, 'nerdctl'],
    [mounted('/var/lib/nerdctl/1935db59/etchosts/default/0123/hosts'), {}, 'nerdctl'],
    [first('/system.slice/cri-containerd-0123.scope'), {}, 'containerd'],
    [{}, { container: 'oci' }, 'container'],
    [{ '/run/systemd/container': 'lxc\n', '/run/systemd/system': '' }, {}, 'container'],
    [{}, pod, 'containerd'],
    [mounted('/var/lib/kubelet/pods/0123/etc-hosts'), {}, 'containerd'],
    [first('/kubepods.slice/kubepods-burstable.slice'), {}, 'containerd'],
    [{ '/.dockerenv': '' }, pod, 'containerd'],
    [{ '/run/.containerenv': '' }, pod, 'cri-o'],
    [first('/kubepods.slice/crio-0123.scope'), pod, 'cri-o'],
    [{ '/sys/class/dmi/id/product_name': 'Google Compute Engine\n' }, pod, 'gke'],
    [{ '/sys/class/dmi/id/product_name': 'Google Compute Engine\n' }, {}, undefined],
  ]
  for (const [files, env, expected] of cases) {
    t.equal(runtimeOf(look(files, env)), expected, JSON.stringify([files, env]))
  }
})

t.test('each runtime has its switch, and none of them gives everything away', async t => {
  const runtimes = [...Object.keys(SWITCHES), 'container', 'systemd', undefined] as const
  const all = runtimes as readonly (Runtime | undefined)[]
  for (const runtime of all) {
    for (const text of [readOnlySwitch(runtime), delegationSwitch(runtime)]) {
      t.ok(text.length > 20)
      t.notMatch(text, /privileged|as root/)
    }
  }
  t.match(readOnlySwitch('docker'), /^docker run --security-opt writable-cgroups=true/)
  t.match(readOnlySwitch('podman'), /--security-opt unmask=\/sys\/fs\/cgroup/)
  t.match(readOnlySwitch('containerd'), /cgroup_writable = true/)
  t.match(readOnlySwitch('cri-o'), /io\.kubernetes\.cri-o\.cgroup2-mount-hierarchy-rw/)
  t.match(readOnlySwitch('gke'), /writableCgroups\.enabled/)
  t.match(readOnlySwitch('systemd'), /ProtectControlGroups=no and Delegate=yes/)
  for (const text of Object.values(SWITCHES)) t.ok(readOnlySwitch('container').includes(text))
  t.match(delegationSwitch('docker'), /entry point.*chown/)
  t.match(delegationSwitch('systemd'), /Delegate=yes/)
  t.match(delegationSwitch(undefined), /chown/)
  t.equal(
    withSwitch('a {read-only}', () => 'podman'),
    `a ${SWITCHES.podman}`,
  )
  t.equal(
    withSwitch('a {delegation}', () => 'docker'),
    `a ${delegationSwitch('docker')}`,
  )
  t.strictSame(Object.keys(EVERY_SWITCH), ['{read-only}', '{delegation}'])
})

t.test('the unit around a process', async t => {
  const cases: [string, ReturnType<typeof unitIn>][] = [
    ['/', undefined],
    ['/system.slice', undefined],
    ['/system.slice/nginx.service', { name: 'nginx.service', manager: 'system' }],
    ['/user.slice/user-1000.slice/session-3.scope', { name: 'session-3.scope', manager: 'system' }],
    [
      '/user.slice/user-1000.slice/user@1000.service/app.slice/vte-1.scope',
      { name: 'vte-1.scope', manager: 'user' },
    ],
    [
      '/user.slice/user-1000.slice/user@1000.service/init.scope',
      { name: 'init.scope', manager: 'user' },
    ],
    [
      '/user.slice/user-1000.slice/user@1000.service',
      { name: 'user@1000.service', manager: 'system' },
    ],
    ['/system.slice/job.service/cgroup-oom-members', { name: 'job.service', manager: 'system' }],
  ]
  for (const [path, expected] of cases) t.strictSame(unitIn(path), expected, path)
  t.strictSame(propertiesOf('Delegate=yes\nOOMPolicy=stop\nSlice=system.slice\n'), {
    delegate: true,
    oomPolicy: 'stop',
    slice: 'system.slice',
  })
  t.strictSame(propertiesOf('Delegate=no\nOOMPolicy=\n'), {
    delegate: false,
    oomPolicy: undefined,
    slice: undefined,
  })
  t.strictSame(propertiesOf('').delegate, undefined, 'no answer')
  t.equal(managerFor({ manager: 'system' }, 0), 'system')
  t.equal(managerFor({ manager: 'system' }, 1000), 'user')
  t.equal(managerFor({ manager: 'user' }, 0), 'user')
  t.equal(runtimeDirectory({}, 1000), '/run/user/1000')
  t.equal(runtimeDirectory({ XDG_RUNTIME_DIR: '/x' }, 1000), '/x')
})

const unit: Unit = {
  name: 'app.service',
  manager: 'user',
  delegate: false,
  oomPolicy: 'stop',
  slice: 'app.slice',
  reachable: true,
}

t.test('the request for a scope', async t => {
  const request = scopeRequest('user', 'x.scope', 7, unit)
  const at = request.indexOf('ssa(sv)a(sa(sv))')
  t.strictSame(request.slice(at, at + 4), ['ssa(sv)a(sa(sv))', 'x.scope', 'fail', '7'])
  t.match(
    request.join(' '),
    /Delegate b true .*PIDs au 1 7 .*Slice s app\.slice BindsTo as 1 app\.service/,
  )
  t.equal(request.at(-1), '0', 'no further units')
  // A session is a unit of the machine's manager: the user's knows neither it nor its slice.
  const other = scopeRequest('user', 'x.scope', 7, { ...unit, manager: 'system' })
  t.notMatch(other.join(' '), /Slice|BindsTo/)
  t.equal(other[other.indexOf('fail') + 1], '4')
})

const group = (path: string, more: Partial<GroupSigns> = {}): GroupSigns => ({
  path,
  closed: undefined,
  given: false,
  members: true,
  root: false,
  limited: false,
  ...more,
})
const signs = (more: Partial<Signs> = {}): Signs => ({
  version: 2,
  readOnly: false,
  own: group('/c/own'),
  above: undefined,
  runtime: undefined,
  unit: undefined,
  uid: 0,
  ...more,
})

t.test('the way to a home, and the place', async t => {
  const closed = group('/c/own', { closed: 'EACCES' })
  const flat = group('/c/own', { given: true })
  const above = group('/c', { given: true, members: false })
  const inUnit = group('/c/app.service')
  const systemd = { runtime: 'systemd', unit } as const
  const settled = { how: 'settle', path: '/c/own' }
  const cases: [string, Partial<Signs>, object, ReturnType<typeof placeKind>][] = [
    ['v1', { version: 1, own: flat }, { how: 'there', path: '/c/own' }, 'delegated'],
    [
      'v1, in a container',
      { version: 1, own: flat, runtime: 'docker' },
      { how: 'there' },
      'container',
    ],
    ['v1, another user', { version: 1, own: closed }, { how: 'none', why: 'EACCES' }, 'read-only'],
    ['v1, under systemd', { version: 1, own: closed, ...systemd }, { how: 'none' }, 'systemd'],
    ['given', { own: group('/c/own', { given: true }) }, { how: 'there' }, 'delegated'],
    ['empty', { own: group('/c/own', { members: false }) }, { how: 'there' }, 'delegated'],
    ['the root', { own: group('/c/own', { root: true }) }, { how: 'there' }, 'delegated'],
    ['occupied', {}, settled, 'delegated'],
    ['occupied, in a container', { runtime: 'podman' }, settled, 'container'],
    ['a leaf', { above }, { how: 'there', path: '/c' }, 'delegated'],
    [
      'a leaf with a limit, which a group beside it would escape',
      { above, own: group('/c/own', { limited: true }) },
      settled,
      'delegated',
    ],
    ['below the root', { above: { ...above, root: true } }, settled, 'delegated'],
    ['above is not ours', { above: { ...above, closed: 'EACCES' } }, settled, 'delegated'],
    ['above gives nothing', { above: { ...above, given: false } }, settled, 'delegated'],
    [
      'a leaf that a killed process has left, and processes above it',
      { above: group('/c'), own: group('/c/cgroup-oom-members') },
      { how: 'settle', path: '/c' },
      'delegated',
    ],
    [
      'a leaf that a killed process has left, and none above it',
      { above: group('/c', { members: false }), own: group('/c/cgroup-oom-members') },
      { how: 'there', path: '/c' },
      'delegated',
    ],
    ['a leaf, own closed', { above, own: closed }, { how: 'there', path: '/c' }, 'delegated'],
    [
      'read-only',
      { readOnly: true, runtime: 'docker' },
      { how: 'none', why: 'EROFS' },
      'read-only',
    ],
    [
      'read-only, a unit',
      { readOnly: true, ...systemd },
      { how: 'none', why: 'EROFS' },
      'read-only',
    ],
    ['closed, in a container', { own: closed, runtime: 'docker' }, { how: 'none' }, 'read-only'],
    ['closed, nowhere', { own: closed }, { how: 'none', why: 'EACCES' }, 'read-only'],
    [
      'a session',
      { own: closed, ...systemd, uid: 1000 },
      { how: 'scope', otherwise: { how: 'none', why: 'EACCES' } },
      'systemd',
    ],
    [
      'a unit of the user, which may be written but is systemd’s',
      { own: inUnit, ...systemd, uid: 1000 },
      { how: 'scope', otherwise: { how: 'settle', path: '/c/app.service' } },
      'systemd',
    ],
    ['root in a session', { own: inUnit, ...systemd }, { how: 'scope' }, 'delegated'],
    [
      'no bus',
      { own: closed, runtime: 'systemd', unit: { ...unit, reachable: false }, uid: 1000 },
      { how: 'none' },
      'systemd',
    ],
    [
      'delegated',
      { own: inUnit, runtime: 'systemd', unit: { ...unit, delegate: true } },
      { how: 'settle', path: '/c/app.service' },
      'delegated',
    ],
    [
      'a leaf of a delegated unit',
      {
        own: group('/c/app.service/leaf'),
        above: group('/c/app.service', { given: true, members: false }),
        runtime: 'systemd',
        unit: { ...unit, delegate: true },
      },
      { how: 'there', path: '/c/app.service' },
      'delegated',
    ],
    [
      'a unit beside which a slice is no place',
      { own: inUnit, above, runtime: 'systemd', unit: { ...unit, delegate: true } },
      { how: 'settle', path: '/c/app.service' },
      'delegated',
    ],
    [
      'a unit of the user, where the bus refuses: the manager’s own group is no place',
      {
        own: group('/c/user@5.service/init.scope', { closed: 'EACCES' }),
        above: group('/c/user@5.service', { given: true, members: false }),
        runtime: 'systemd',
        unit: { ...unit, reachable: false },
        uid: 5,
      },
      { how: 'none' },
      'systemd',
    ],
    [
      'a slice that pays for a unit without accounting',
      { own: group('/c/system.slice', { given: true }), runtime: 'systemd', uid: 0 },
      { how: 'none' },
      'systemd',
    ],
  ]
  for (const [name, more, way, kind] of cases) {
    const all = signs(more)
    t.match(wayHome(all), way, name)
    t.equal(placeKind(all), kind, `${name}: the place`)
  }
  t.equal(placeKind(undefined), 'none')
  t.match(switchFor('EACCES', signs({ version: 1, runtime: 'systemd' })), /chown/)
  t.match(switchFor('EACCES', signs({ runtime: 'systemd' })), /Delegate=yes/)
})

t.test('what is read of a group', async t => {
  const files: Record<string, string> = {
    '/c/own/cgroup.procs': '0\n',
    '/c/own/cgroup.subtree_control': 'cpu pids\n',
    '/c/own/memory.max': '1048576\n',
    '/c/own/memory.high': 'max\n',
    '/c/cgroup.subtree_control': 'cpu memory pids\n',
    '/c/cgroup.procs': '',
  }
  const place: PlaceLook = {
    ...look(files),
    access: (path, how) => {
      if (how === 'exists') return path === '/c/cgroup.type' ? 'ENOENT' : undefined
      return path === '/c/cgroup.subtree_control' ? 'EACCES' : undefined
    },
  }
  const mount = { path: '/c', version: 2 as const, readOnly: false }
  const found = signsOf(place, { mount, self: '/c/own' }, undefined, 5)
  t.match(found, { version: 2, uid: 5, runtime: undefined })
  t.strictSame(found.own, group('/c/own', { limited: true }))
  const top = { closed: 'EACCES', given: true, members: false, root: true }
  t.strictSame(found.above, group('/c', top))
  t.strictSame(signsOf(place, { mount, self: null }, undefined, 5).own.path, '/c')
  t.equal(signsOf(place, { mount, self: '/c' }, undefined, 5).above, undefined)
  const v1 = signsOf(place, { mount: { ...mount, version: 1 }, self: '/c/own' }, undefined, 5)
  t.match(v1, { above: undefined, own: { given: true, closed: undefined, root: false } })
})

/** Groups and processes that are numbers; `on` is called before each move. */
function world(pids: number[], on: (pid: number, to: string) => void = () => {}) {
  const where = new Map(pids.map(pid => [pid, 'own']))
  const state = { given: false, leaf: false, others: [] as string[], inLeaf: [] as string[] }
  const fail = (code: string, errno: number): never => {
    throw new OomError(code, code, { errno: -errno })
  }
  const room = (name: 'own' | 'leaf'): Room => ({
    path: `/${name}`,
    name,
    members: () => ({
      pids: [...where].filter(([, at]) => at === name).map(([pid]) => pid),
      unseen: 0,
    }),
    add(pid) {
      on(pid, name)
      if (!where.has(pid)) fail('ESRCH', 3)
      if (name === 'own' && state.given) fail('EBUSY', 16)
      where.set(pid, name)
    },
    give() {
      if ([...where.values()].includes('own')) fail('EBUSY', 16)
      state.given = true
    },
    take() {
      state.given = false
    },
    below: () =>
      name === 'leaf' ? state.inLeaf : [...(state.leaf ? ['leaf'] : []), ...state.others],
    make() {
      state.leaf = true
    },
    remove() {
      if ([...where.values()].includes('leaf') || state.inLeaf.length > 0) fail('EBUSY', 16)
      state.leaf = false
    },
  })
  const at = () => [...where].map(([pid, name]) => `${pid} ${name}`).sort()
  return { where, state, at, own: room('own'), leaf: room('leaf') }
}

t.test('all processes are moved, and come back', async t => {
  const { own, leaf, state, at } = world([1, 2, 3])
  const { undo } = await settle(own, leaf)
  t.ok(state.given)
  t.strictSame(at(), ['1 leaf', '2 leaf', '3 leaf'])
  await undo()
  t.strictSame(at(), ['1 own', '2 own', '3 own'])
  t.match(state, { given: false, leaf: false })
})

t.test('processes that are forked or end meanwhile', async t => {
  let forks = 0
  const all = world([1, 2, 3], (pid, to) => {
    if (to !== 'leaf') return
    // A child is born where its parent is: in the group as long as that has not been moved.
    if (forks < 50 && all.where.has(pid)) all.where.set(100 + forks++, all.where.get(pid)!)
    if (pid === 2) all.where.delete(3)
  })
  const { undo } = await settle(all.own, all.leaf)
  t.equal(all.own.members().pids.length, 0)
  t.equal(forks, 50)
  t.equal(all.where.size, 52)
  all.where.set(200, 'leaf')
  await undo()
  t.equal(all.own.members().pids.length, 53, 'born in the leaf, back with the others')
})

t.test('a move that fails half way is undone', async t => {
  const all = world([1, 2, 3], (pid, to) => {
    if (pid === 2 && to === 'leaf') throw new OomError('EINVAL', 'EINVAL', { errno: -22 })
  })
  await t.rejects(settle(all.own, all.leaf), { code: 'ERR_GROUP_OCCUPIED', message: /process 2\b/ })
  t.strictSame(all.at(), ['1 own', '2 own', '3 own'])
  t.match(all.state, { given: false, leaf: false })
})

t.test('a controller that cannot be given is undone', async t => {
  const all = world([1, 2])
  const give = (): never => {
    throw new OomError('EOPNOTSUPP', 'threaded', { errno: -95 })
  }
  await t.rejects(settle({ ...all.own, give }, all.leaf), { code: 'EOPNOTSUPP' })
  t.strictSame(all.at(), ['1 own', '2 own'])
  t.notOk(all.state.leaf)
})

t.test('forks without end give up, and are undone', async t => {
  let next = 10
  const all = world([1], (_, to) => {
    if (to === 'leaf') all.where.set(next++, 'own')
  })
  await t.rejects(settle(all.own, all.leaf, 20), { code: 'ERR_GROUP_OCCUPIED', message: /fork/ })
  t.equal(all.leaf.members().pids.length, 0)
  t.notOk(all.state.leaf)
})

t.test('a process that stays listed where its first thread has ended', async t => {
  const all = world([1, 2])
  // The kernel lists 2 in the group, and nothing in the leaf, wherever its other threads are.
  const own = { ...all.own, members: () => ({ pids: [...all.own.members().pids, 2], unseen: 0 }) }
  const { leaf } = all
  const members = () => ({ pids: leaf.members().pids.filter(pid => pid !== 2), unseen: 0 })
  const { undo } = await settle(own, { ...leaf, members })
  t.strictSame(all.at(), ['1 leaf', '2 leaf'])
  await undo()
  t.strictSame(all.at(), ['1 own', '2 own'])
  t.notOk(all.state.leaf)
})

t.test('a process that is ending keeps the leaf busy, and is waited for', async t => {
  for (const failing of [false, true]) {
    const all = world([1, 2], (pid, to) => {
      if (failing && pid === 2 && to === 'leaf') {
        throw new OomError('EINVAL', 'EINVAL', { errno: -22 })
      }
    })
    // Neither listed nor moved any more.
    let looks = 0
    const remove = () => {
      if (looks++ < 3) throw new OomError('EBUSY', 'EBUSY', { errno: -16 })
      all.leaf.remove()
    }
    // A child that its parent forks until then comes back as well.
    const members = () => {
      if (looks === 1 && !all.where.has(3)) all.where.set(3, 'leaf')
      return all.leaf.members()
    }
    const settled = settle(all.own, { ...all.leaf, remove, members })
    if (failing) {
      await t.rejects(settled, { code: 'ERR_GROUP_OCCUPIED' })
    } else {
      await (await settled).undo()
    }
    t.strictSame(all.at(), ['1 own', '2 own', '3 own'])
    t.match(all.state, { given: false, leaf: false })
  }
})

t.test('a leaf that stays busy is left, and holds up nothing', async t => {
  const all = world([1])
  const remove = () => {
    throw new OomError('EBUSY', 'EBUSY', { errno: -16 })
  }
  const { undo } = await settle(all.own, { ...all.leaf, remove }, 20)
  await undo()
  t.strictSame(all.at(), ['1 own'])
})

t.test(
  'where a process cannot be moved back, all others are, and nothing is waited for',
  async t => {
    let back = 0
    const all = world([1, 2, 3], (pid, to) => {
      if (to !== 'own' || pid !== 2) return
      back++
      throw new OomError('EPERM', 'EPERM', { errno: -1 })
    })
    const { undo } = await settle(all.own, all.leaf)
    await undo()
    t.strictSame(all.at(), ['1 own', '2 leaf', '3 own'])
    t.equal(back, 1)
  },
)

t.test('nor where another program has made a group in the leaf', async t => {
  const all = world([1])
  let removals = 0
  const remove = () => {
    removals++
    all.leaf.remove()
  }
  const { undo } = await settle(all.own, { ...all.leaf, remove })
  all.state.inLeaf.push('another')
  await undo()
  t.strictSame(all.at(), ['1 own'])
  t.equal(removals, 1)
})

t.test('members of another PID namespace cannot be moved', async t => {
  const all = world([1])
  const members = () => ({ pids: [1], unseen: 2 })
  await t.rejects(settle({ ...all.own, members }, all.leaf), { code: 'ERR_UNSEEN_MEMBERS' })
  t.strictSame(all.at(), ['1 own'])
})

t.test('what other groups need stays', async t => {
  const all = world([1])
  const { undo } = await settle(all.own, all.leaf)
  all.state.others.push('job')
  await undo()
  t.ok(all.state.given)
  t.strictSame(all.at(), ['1 leaf'])
})
