// The command line: its usage, doctor and rescue. watch, run and the self-test have files of their own.
// lab: left out: dozens of Node.js processes, each of which takes seconds to start there: four minutes
import t from 'tap'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CLI, cli } from '../../helpers/cli.js'
import { stop } from '../../helpers/faults.js'
import { openGroup } from '../../helpers/group.js'
import { Hog } from '../../helpers/hog.js'
import { isHeld, killsIn, MiB, mount, underOom, version } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const AS_USER = ['setpriv', '--reuid=65534', '--clear-groups']
const readable = spawnSync(AS_USER[0]!, [...AS_USER.slice(1), 'test', '-r', CLI]).status === 0

interface Report {
  probe: { version: number }
  groups: {
    path: string
    underOom: boolean
    members: number[]
    behind: { pid: number; role: string }[]
    certain: boolean
  }[]
  problems: string[]
}

async function doctor(dir: string): Promise<Report & { status: number | null }> {
  const { status, stdout } = await cli(['doctor', '--json', '--in', dir])
  return { status, ...(JSON.parse(stdout) as Report) }
}

/** A process with a guard on `dir`, armed, and its guardian's pid. */
async function guarding(
  dir: string,
  options: object = {},
): Promise<{ supervisor: ChildProcess; guardian: number }> {
  const lib = join(process.cwd(), 'dist/commonjs/lib')
  const code = `
    const { MemoryGroup } = require('${lib}/index.js')
    MemoryGroup.open(${JSON.stringify(dir)})
      .then(group => group.guard(${JSON.stringify({ delayMs: 60_000, ...options })}))
      .then(() => console.log(require('${lib}/native/addon.js').binding().guardianPid()))
    process.stdin.resume()
  `
  const supervisor = spawn('env', ['-i', process.execPath, '-e', code], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [pid] = (await once(supervisor.stdout, 'data')) as [Buffer]
  return { supervisor, guardian: Number(pid) }
}

/** Leaves `dir` held, although no live process holds it: process and guardian are killed at once. */
async function orphan(dir: string, options?: object): Promise<void> {
  const { supervisor, guardian } = await guarding(dir, options)
  await stop(supervisor.pid!)
  process.kill(guardian, 'SIGKILL')
  supervisor.kill('SIGKILL')
  await once(supervisor, 'exit')
  await until(() => !existsSync(`/proc/${guardian}/exe`)) // a zombie has none
}

t.test('help and version', async t => {
  const released = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.match(await cli(['--version']), { status: 0, stdout: `${released.version}\n`, stderr: '' })
  const overview = await cli(['--help'])
  t.match(overview, { status: 0, stderr: '' })
  for (const command of ['doctor', 'rescue', 'watch', 'guard', 'run', 'report', 'completion']) {
    t.match(overview.stdout, new RegExp(`^  ${command} `, 'm'))
    const help = await cli([command, '--help'])
    t.match(help, { status: 0, stderr: '' })
    t.ok(help.stdout.startsWith(`Usage: cgroup-oom ${command} `))
    t.ok(help.stdout.split('\n').length <= 26, 'at most 25 lines')
    t.match(help.stdout, /^Exit status: /m)
  }
})

t.test('help COMMAND', async t => {
  t.match(await cli(['help', 'run']), { status: 0, stdout: /^Usage: cgroup-oom run/ })
})

t.test('completion: a program for each shell', async t => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { status, stdout, stderr } = await cli(['completion', shell])
    t.match({ status, stderr }, { status: 0, stderr: '' }, shell)
    t.match(stdout, 'fail-on-oom', shell)
  }
})

t.test('a wrong command line: status 2, the reason and the usage on stderr', async t => {
  const bad: [args: string[], reason: RegExp][] = [
    [[], /a command is missing/],
    [['cure'], /unknown command: cure$/m],
    [['wacth'], /unknown command: wacth: did you mean watch\?$/m],
    [['doctor', '--fast'], /--fast/],
    [['doctor', '/sys'], /\/sys/],
    [['doctor', '--in', ''], /--in/],
    [['rescue'], /a GROUP is missing/],
    [['rescue', '../x'], /GROUP.*'\.\.'/],
    [['watch'], /a GROUP is missing/],
    [['watch', '--tree=yes', 'x'], /--tree/],
    [['run'], /a COMMAND is missing/],
    [['run', '--max', '1M', '--'], /a COMMAND is missing/],
    [['run', 'true'], /unexpected word: true: put -- before the command: cgroup-oom run -- true$/m],
    [['run', '--max', '1M', 'ls', '-l a'], /cgroup-oom run --max 1M -- ls '-l a'$/m],
    [['run', 'ls', '--', 'x'], /unexpected word: ls$/m],
    [['run', '--mx', '1M', '--', 'true'], /unknown option --mx: did you mean --max\?$/m],
    [['completion'], /the shell is missing: bash, zsh or fish$/m],
    [['completion', 'zhs'], /no such shell: zhs: did you mean zsh\?$/m],
    [['completion', 'zsh', 'fish'], /unexpected word: fish$/m],
    [['doctor', '--self-tset'], /did you mean --self-test\?$/m],
    [['run', '--max', '1Q', '--', 'true'], /--max/],
    [['run', '--max', '-1', '--', 'true'], /--max/],
    [['run', '--delay', '1.5', '--', 'true'], /--delay.*whole milliseconds/],
    [['run', '--delay', '2147483648', '--', 'true'], /--delay/],
    [['run', '--delay', '1', '--fallback', 'none', '--', 'true'], /--fallback.*'kill-largest'/],
    [['run', '--fallback', 'kernel', '--', 'true'], /--delay, which is missing/],
    [['run', '--name', 'a/b', '--', 'true'], /--name/],
    [['run', '--name', '..', '--', 'true'], /--name/],
  ]
  for (const [args, reason] of bad) {
    const { status, stdout, stderr } = await cli(args)
    t.equal(status, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, reason)
    t.ok(stderr.startsWith('Usage: cgroup-oom '))
    t.match(stderr.trimEnd().split('\n').at(-1), reason, 'the message is the last line')
  }
})

t.test('doctor reads what probe() finds', async t => {
  const dir = scratch(t)
  const { status, stdout, stderr } = await cli(['doctor', '--in', dir])
  t.match({ status, stderr }, { status: 0, stderr: '' })
  for (const field of ['addon', 'memory', 'guard', 'guardian', 'pidfd']) {
    t.match(stdout, new RegExp(`^${field} +yes  `, 'm'))
  }
  t.match(stdout, /^place: .*\n {2}works: everything/m)
  t.match(stdout, /^limit in effect: .*; heap limit of this Node.js: [\d.]+ [KMG]iB$/m)
  t.match(stdout, `judged: ${dir}`)
  // Other tests may hold groups meanwhile: not all of what it prints is this one's.
  t.match(
    (await cli(['doctor'])).stdout,
    /^to know:\n {2}children start with the oom_score_adj of this process.*\n {4}→ spawn/m,
  )
  t.notMatch(stdout, /privileged|as root|^place +(yes|no)/m)
  t.match(stdout, 'groups whose killer is disabled: none')
  t.match(stdout, 'no problems')
  t.match(await doctor(dir), { status: 0, probe: { version }, groups: [], problems: [] })
  t.match(await cli(['doctor', '--in', join(dir, 'x')]), {
    status: 1,
    stdout: '',
    stderr: /ENOENT/,
  })
})

t.test('a group that no live process holds is found and rescued', async t => {
  const dir = scratch(t)
  const group = child(dir, 'it has left', 16 * MiB)
  // Far from the limit, so that v2 throttles for long enough.
  await orphan(group, { hold: { band: '8M' } })
  const hog = await Hog.start(group)
  t.teardown(() => hog.end())
  const filled = hog.fill(32 * MiB)
  filled.catch(() => {}) // checked below
  await until(() => underOom(group))

  t.match(await doctor(dir), {
    status: 1,
    groups: [{ path: group, underOom: true, members: [hog.pid], behind: [], certain: true }],
    problems: [/its killer is disabled, held by: no live process/],
  })
  const { status, stdout } = await cli(['doctor', '--in', dir])
  t.equal(status, 1)
  t.match(stdout, `out of memory: yes; members: ${hog.pid}; held by: no live process`)
  t.match(stdout, `→ cgroup-oom rescue '${group}'`)
  t.ok(isHeld(group), 'doctor only reads')

  t.match(await cli(['rescue', group]), {
    status: 0,
    stdout: `${group}: released (it was out of memory, 1 member)\n`,
    stderr: '',
  })
  t.notOk(isHeld(group))
  await t.rejects(filled)
  t.equal(killsIn(group), 1)
  t.match(await cli(['rescue', group]), { status: 0, stdout: /killer is enabled, nothing to do/ })
  t.match(await doctor(dir), { status: 0, groups: [] })
})

t.test('rescue leaves the groups below alone, but for --recursive', async t => {
  const dir = scratch(t, 64 * MiB)
  const a = child(dir, 'a', 32 * MiB)
  const b = child(a, 'b', 16 * MiB)
  await orphan(dir)
  const one = await cli(['rescue', dir])
  t.match(one, {
    status: 0,
    stdout: /released .*\n.*2 groups below have the killer disabled still/,
  })
  t.same([dir, a, b].map(isHeld), [false, true, true])
  const all = await cli(['rescue', '--recursive', dir])
  t.match(all, { status: 0 })
  t.equal(all.stdout, [a, b].map(path => `${path}: released (0 members)\n`).join(''))
  t.same([dir, a, b].map(isHeld), [false, false, false])
})

t.test('doctor names the live guard of a group, and rescue refuses the group', async t => {
  const dir = scratch(t, 16 * MiB)
  const guard = await guarding(dir)
  t.teardown(() => guard.supervisor.kill('SIGKILL'))
  const { status, groups, problems } = await doctor(dir)
  t.match({ status, problems }, { status: 0, problems: [] })
  t.match(groups, [{ path: dir }])
  const sentinel = groups[0]!.behind.find(({ role }) => role === 'sentinel')
  const guardian = groups[0]!.behind.find(({ role }) => role === 'guardian')
  t.equal(sentinel?.pid, guard.supervisor.pid)
  t.equal(guardian?.pid, guard.guardian)

  const refused = await cli(['rescue', dir])
  t.match(refused, { status: 1, stdout: '', stderr: /refused, held by .*guardian \d+.*--force/ })
  t.ok(isHeld(dir))
  const { stdout, stderr } = await cli(['rescue', '--json', dir])
  t.match(JSON.parse(stdout), { group: dir, result: 'refused', text: /^refused, held by / })
  t.equal(stderr, '')
  const forced = await cli(['rescue', '--force', dir])
  t.match(forced, { status: 0, stdout: /released \(.*by force, held by / })
  t.notOk(isHeld(dir))
})

t.test(
  'another user does not take a guard that he may not see for one that is missing',
  { skip: !readable && 'another user cannot read this directory' },
  async t => {
    const dir = scratch(t, 16 * MiB)
    const guard = await guarding(dir)
    t.teardown(() => guard.supervisor.kill('SIGKILL'))
    const { stdout } = await cli(['doctor', '--in', dir], { under: AS_USER })
    t.match(stdout, /held by: unknown \(only root/)
    t.notMatch(stdout, /cgroup-oom rescue|its killer is disabled, held by/)
  },
)

t.test('a group whose guard and guardian were killed at once is found and rescued', async t => {
  const dir = scratch(t, 16 * MiB)
  await orphan(dir)
  t.ok(isHeld(dir))
  t.match(await doctor(dir), { status: 1, groups: [{ path: dir, behind: [] }] })
  t.match(await cli(['rescue', dir]), { status: 0 })
  t.notOk(isHeld(dir))
})

t.test('a process that only reads the control file does not hold the group', async t => {
  const dir = scratch(t, 16 * MiB)
  await orphan(dir)
  const group = await openGroup(t, dir)
  await using watch = group.watch() // this process has a sentinel now
  await watch.ready
  const fd = openSync(join(dir, version === 1 ? 'memory.oom_control' : 'memory.high'), 'r')
  t.match(await doctor(dir), { status: 1, groups: [{ path: dir, behind: [] }] })
  closeSync(fd)
})

t.test('a group that is not there: where its name begins', async t => {
  t.match(await cli(['watch', '--json', 'cgroup-oom-none']), {
    status: 1,
    stderr: /cgroup-oom-none'.*"cgroup-oom-none" is relative to the hierarchy's mount/,
  })
  const { stderr } = await cli(['watch', join(scratch(t), 'none')])
  t.notMatch(stderr, /relative/)
})

t.test('a group as /proc/PID/cgroup names it', async t => {
  const name = scratch(t).slice(mount.length)
  t.match(await cli(['watch', name]), {
    status: 1,
    stderr: new RegExp(`"${name.slice(1)}", without the slash, is a group`),
  })
})

t.test('output that cannot be written is no crash', async t => {
  const under = ['sh', '-c', 'exec "$0" "$@" >/dev/full']
  const { status, stderr } = await cli(['doctor'], { under })
  t.equal(status, 1)
  t.match(stderr, /^cgroup-oom doctor: stdout: .*ENOSPC.*\n$/)
})

t.test('what cannot be rescued', async t => {
  const dir = scratch(t)
  const gone = join(dir, 'gone')
  t.match(await cli(['rescue', gone, dir]), {
    status: 1,
    stdout: /nothing to do/,
    stderr: /gone: ENOENT/,
  })
  t.match(await cli(['rescue', '/tmp']), {
    status: 1,
    stdout: '',
    stderr: /not a directory of a memory/,
  })
})
