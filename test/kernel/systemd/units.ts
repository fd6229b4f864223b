// Under a systemd that is process 1: MemoryGroup.home() in a unit, with delegation and without, of root and of a user,
// what probe() says there, and the unit of examples/ that guards what runs already.
// lab: left out: needs systemd as process 1: npm run test:systemd
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { CLI } from '../../helpers/cli.js'
import { high } from '../../helpers/hold.js'
import { MiB, mount } from '../../helpers/memory-files.js'
import { Remote } from '../../helpers/remote.js'
import { until } from '../../helpers/scratch.js'

// Units are made and started: in a machine of its own alone.
const here = {
  skip: process.env.OOM_SYSTEMD === '1' ? false : 'only in the machine of npm run test:systemd',
}
const USER = 1000
const NAME = `cgroup-oom-test-${process.pid}`

function command(name: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(name, args, { encoding: 'utf8', timeout: 60_000 })
  if (status !== 0) throw new Error(`${name} ${args.join(' ')}: ${status}: ${stderr}`)
  return stdout
}
function systemctl(...args: string[]): string {
  try {
    return command('systemctl', '--no-pager', ...args)
  } catch (error) {
    const unit = args.at(-1)!
    const { stdout } = spawnSync('journalctl', ['--no-pager', '-n', '40', '-o', 'cat', '-u', unit])
    throw new Error(`${(error as Error).message}\n${String(stdout)}`, { cause: error })
  }
}
const property = (unit: string, name: string): string =>
  systemctl('show', '--value', '-p', name, unit).trim()

let units = 0
/** A process that is the main one of a transient service. */
function inService(t: Test, properties: string[], as: string[] = []): Promise<Remote> {
  const unit = `${NAME}-${units++}.service`
  const how = ['--quiet', '--pipe', '--wait', '--collect', `--unit=${unit}`, '-p', 'Type=exec']
  const run = ['systemd-run', ...how, ...properties.flatMap(one => ['-p', one])]
  return Remote.start(t, { home: mount, through: [...as, ...run, '--'] })
}

/** Makes a home, a group below it, and a guard of that one; then undoes it. */
const HOME = `
  const own = () => /^0::(.*)$/m.exec(fs.readFileSync('/proc/self/cgroup', 'utf8'))[1]
  const before = own()
  const home = await oom.MemoryGroup.home(options)
  const job = await home.create('job', { max: '32M' })
  const guard = await job.guard({ delayMs: 5000 })
  const high = fs.readFileSync(job.path + '/memory.high', 'utf8').trim()
  await guard.dispose()
  await job.remove()
  const within = own()
  await home.close()
  return { before, path: home.path, within, high: Number(high), after: own() }`

interface AtHome {
  before: string
  path: string
  within: string
  high: number
  after: string
}

t.test('a service without delegation: a scope is asked for', here, async t => {
  const remote = await inService(t, [])
  const { place } = await remote.run<{ place: { kind: string } }>(
    'const { place } = await oom.probe(); return { place }',
  )
  t.match(JSON.stringify(place), /systemd/)
  const home = await remote.run<AtHome>(`const options = {}; ${HOME}`)
  t.match(home.before, new RegExp(`${NAME}-\\d+\\.service$`))
  t.match(home.path, /\/cgroup-oom-\d+-0\.scope$/)
  t.equal(dirname(home.path), dirname(join(mount, home.before)), 'in the slice of the unit')
  t.equal(home.within, `${home.path.slice(mount.length)}/cgroup-oom-members`)
  t.ok(home.high > 16 * MiB && home.high < 32 * MiB, 'held below its limit')
  t.equal(home.after, home.before, 'back in its unit')
})

t.test('the scope ends with the unit that the process comes from', here, async t => {
  const remote = await inService(t, [])
  const { path, unit, pid } = await remote.run<{ path: string; unit: string; pid: number }>(`
    const unit = /\\/([^/]+\\.service)$/m.exec(fs.readFileSync('/proc/self/cgroup', 'utf8'))[1]
    globalThis.home = await oom.MemoryGroup.home()
    return { path: home.path, unit, pid: process.pid }`)
  t.ok(existsSync(path))
  systemctl('stop', unit)
  await until(() => !existsSync(path))
  t.notOk(existsSync(`/proc/${pid}`))
})

t.test('a delegated service: below its own group', here, async t => {
  const remote = await inService(t, ['Delegate=yes'])
  await t.rejects(remote.run(`const options = {}; ${HOME}`), { code: 'ERR_GROUP_OCCUPIED' })
  const home = await remote.run<AtHome>(`const options = { settle: true }; ${HOME}`)
  t.equal(home.path, join(mount, home.before))
  t.equal(home.within, `${home.before}/cgroup-oom-members`)
  t.equal(home.after, home.before)
})

t.test(
  'a unit that is stopped when the kernel kills one of its processes is named',
  here,
  async t => {
    const remote = await inService(t, ['OOMPolicy=stop'])
    const said = JSON.stringify(await remote.run('return oom.probe()'))
    t.match(said, /OOMPolicy/)
  },
)

t.test('a user: a scope of the own manager', here, async t => {
  systemctl('start', `user@${USER}.service`)
  await until(() => existsSync(`/run/user/${USER}/bus`))
  const as = [
    ...['/usr/bin/setpriv', '--reuid', `${USER}`, '--regid', `${USER}`, '--clear-groups', 'env'],
    ...[`XDG_RUNTIME_DIR=/run/user/${USER}`, 'systemd-run', '--user'],
  ]
  const unit = () => `--unit=${NAME}-${units++}.service`
  const how = ['--quiet', '--pipe', '--wait', '--collect', '-p', 'Type=exec']
  const remote = await Remote.start(t, { home: mount, through: [...as, ...how, unit(), '--'] })
  t.equal(await remote.run('return process.getuid()'), USER)
  const home = await remote.run<AtHome>(`const options = {}; ${HOME}`)
  t.match(home.path, new RegExp(`/user@${USER}\\.service/.*/cgroup-oom-\\d+-0\\.scope$`))
  t.ok(home.high > 16 * MiB && home.high < 32 * MiB)
  // Beside its own group.
  const job = [process.execPath, CLI, 'run', '--max', '32M', '--', 'cat', '/proc/self/cgroup']
  const ran = command('/usr/bin/setpriv', ...as.slice(1), ...how, unit(), '--', ...job)
  t.match(ran, new RegExp(`/user@${USER}\\.service/.*\\.slice/cgroup-oom-run-\\d+$`, 'm'))
  // As in a session, beside whose group the user may make none.
  const session = ['--scope', '--quiet', `--slice=user-${USER}.slice`, `--uid=${USER}`]
  const env = ['env', `XDG_RUNTIME_DIR=/run/user/${USER}`]
  const there = command('systemd-run', ...session, ...env, ...job)
  t.match(there, new RegExp(`/user@${USER}\\.service/.*\\.scope/cgroup-oom-run-\\d+$`, 'm'))
})

t.test('the unit of examples/ guards what runs already', here, async t => {
  const unit = 'cgroup-oom-guard.service'
  const file = join('/run/systemd/system', unit)
  const config = '/etc/cgroup-oom/guard.json'
  const program = '/usr/bin/cgroup-oom'
  const job = `${NAME}-job.service`
  const go = '/disk/go'
  const record = '/disk/episodes.jsonl'
  const group = join(mount, 'system.slice', job)
  t.teardown(() => {
    for (const name of [unit, job]) spawnSync('systemctl', ['stop', name])
    for (const name of [file, config, program, go, record]) rmSync(name, { force: true })
    spawnSync('systemctl', ['daemon-reload'])
  })
  for (const name of [file, config]) mkdirSync(dirname(name), { recursive: true })
  writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} ${CLI} "$@"\n`, { mode: 0o755 })
  writeFileSync(file, readFileSync('examples/cgroup-oom-guard.service'))
  systemctl('daemon-reload')
  const configure = (delayMs: number) => {
    const groups = [{ path: `system.slice/${job}`, delayMs, fallback: 'kill-largest', record }]
    writeFileSync(config, JSON.stringify({ groups }))
  }
  const fill = 'const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))'
  const start = () =>
    command(
      'systemd-run',
      ...[
        '--quiet',
        '--collect',
        `--unit=${job}`,
        '-p',
        'MemoryMax=96M',
        '-p',
        'OOMPolicy=continue',
      ],
      ...['--', 'sh', '-c', `until [ -e ${go} ]; do sleep 0.1; done; exec "$@"`, 'sh'],
      ...[process.execPath, '-e', fill],
    )
  const held = () => high(group) !== unheld
  const main = () => Number(property(unit, 'MainPID'))

  start()
  const unheld = high(group)
  configure(60_000)
  // Returns when it has said that it is ready: every group of the file is guarded then.
  systemctl('start', unit)
  t.equal(property(unit, 'ActiveState'), 'active')
  t.ok(held())
  t.match(property(unit, 'ControlGroup'), /\/cgroup-oom\.slice\//, 'outside of what it guards')

  configure(300)
  systemctl('reload', unit)
  t.equal(property(unit, 'ActiveState'), 'active')
  const first = main()
  writeFileSync(go, '')
  // After the new delay; before it the reclaim of page cache may have ended one.
  const outcome = '"outcome":"fallback"'
  await until(() => existsSync(record) && readFileSync(record, 'utf8').includes(outcome))
  await until(() => !existsSync(group))
  t.equal(main(), first, 'it waits for other groups')
  systemctl('stop', unit)

  // Killed, it leaves nothing held, and is started again.
  rmSync(go)
  start()
  systemctl('start', unit)
  t.ok(held())
  const second = main()
  process.kill(second, 'SIGKILL')
  await until(() => property(unit, 'NRestarts') === '1')
  await until(() => property(unit, 'ActiveState') === 'active' && main() !== second)
  t.ok(held())
  systemctl('stop', unit)
  t.notOk(held(), 'put back')
  t.equal(property(unit, 'Result'), 'success')
})
