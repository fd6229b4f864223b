// cgroup-oom run: exit statuses, signals, what becomes of a greedy command and of what a command leaves.
// lab: left out: dozens of Node.js processes, each of which takes seconds to start there: four minutes
import t from 'tap'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { CLI, cli, placeOf, RunningCli, type CliResult } from '../../helpers/cli.js'
import { compiled } from '../../helpers/compile.js'
import { openGroup } from '../../helpers/group.js'
import { HIERARCHY, isHeld, MiB, read, underOom, version } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'

const below = (dir: string): string[] =>
  readdirSync(dir, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)

/** A zombie that has not been waited for yet does not live. */
function isAlive(pid: string): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const sh = (script: string): string[] => ['--', 'sh', '-c', script]

t.test('the exit status is that of the command, or that of a shell if it has none', async t => {
  const dir = scratch(t)
  const statuses: [command: string[], status: number][] = [
    [['--', 'true'], 0],
    [sh('exit 7'), 7],
    [sh('kill -TERM $$'), 143],
    [sh('kill -KILL $$'), 137],
    [['--', './no such command'], 127],
    [['--', '/etc/passwd'], 126],
    [['--', 'printf', '--help'], 0],
  ]
  for (const [command, status] of statuses) {
    const result = await cli(['run', '--parent', dir, ...command])
    t.equal(result.status, status, command.join(' '))
    t.same(below(dir), [], 'the group is removed')
  }
})

t.test("stdin, stdout and stderr are the command's; with --quiet nothing is added", async t => {
  const dir = scratch(t)
  const script = `cat; echo err >&2; grep ${HIERARCHY} /proc/self/cgroup >&2`
  const quiet = await cli(['run', '--quiet', '--parent', dir, '--name', 'job', ...sh(script)], {
    input: 'in',
  })
  t.match(quiet, { status: 0, stdout: 'in' })
  const lines = quiet.stderr.trimEnd().split('\n')
  t.equal(lines.length, 2)
  t.equal(lines[0], 'err')
  t.ok(lines[1]!.endsWith('/job'), 'it is in the group')
  const loud = await cli(['run', '--max', '64M', '--parent', dir, ...sh('exit 3')])
  const raw = await cli(['run', '--parent', `${dir}/x\x1b[31m`, ...sh('exit 3')])
  t.match(raw.stderr, /x\\x1b\[31m/)
  t.notMatch(raw.stderr, '\x1b')
  t.match(loud.stderr, /^cgroup-oom: exited with 3 after .*; peak [\d.]+ [KM]iB of 64\.0 MiB\n$/)
})

t.test('the new group is below the one that run is started in, or beside it', async t => {
  const inside = child(scratch(t), 'inside')
  const dir = placeOf(inside)
  const running = new RunningCli(['run', ...sh('read line')], { inside })
  const group = join(dir, `cgroup-oom-run-${running.child.pid}`)
  await until(() => existsSync(group))
  await until(() => read(group, 'cgroup.procs') !== '')
  t.notOk(read(group, 'cgroup.procs').includes(String(running.child.pid)))
  running.child.stdin!.end('line\n')
  t.match(await running.done, { status: 0 })
  t.notOk(existsSync(group))
})

const fill = { input: 'fill 67108864\n' }
const greedy = (options: string[]): string[] => [
  'run',
  '--max',
  '16M',
  ...options,
  '--',
  compiled('hog'),
]

t.test('a greedy command is killed at the deadline, not before', async t => {
  const dir = scratch(t)
  const began = performance.now()
  const { status, stderr } = await cli(greedy(['--delay', '700', '--parent', dir]), fill)
  t.equal(status, 137)
  t.ok(performance.now() - began > 700)
  const [begin, episode, summary, verdict, ...more] = stderr.trimEnd().split('\n')
  t.match(begin, /out of memory: .* at 1[456]\.\d MiB of 16\.0 MiB; it waits up to 700 ms$/)
  t.match(
    episode,
    /out of memory: .* at 1[456]\.\d MiB of 16\.0 MiB; after \S+ m?s: fallback \(kernel\), 1 process killed$/,
  )
  t.match(
    summary,
    /ended by SIGKILL after .*; (peak 1[56]\.\d MiB of 16\.0 MiB; )?out of memory 1 time, 1 process killed$/,
  )
  t.match(
    verdict,
    /^cgroup-oom: ended by SIGKILL; out of memory: the kernel killed 1 task at its group's/,
  )
  t.same(more, [])
  t.same(below(dir), [])
})

/** A run within a run, and the group of the inner one. */
function nested(dir: string, outer: string[], inner: string[], command: string[]) {
  const own = ['run', '--max', '128M', '--parent', dir, '--name', 'outer', ...outer]
  const within = ['run', '--name', 'inner', '--max', '16M', ...inner, '--', ...command]
  const running = new RunningCli([...own, '--', process.execPath, CLI, ...within])
  // On v2 it is made beside the outer one, which has members.
  return { running, group: join(version === 1 ? join(dir, 'outer') : dir, 'inner') }
}

t.test('a run within a run: the status, and nothing is left', async t => {
  for (const [outer, inner] of [
    [
      ['--delay', '60000'],
      ['--delay', '60000'],
    ],
    [['--delay', '60000'], []],
    [[], ['--delay', '60000']],
  ]) {
    const dir = scratch(t)
    const { running } = nested(dir, outer!, inner!, ['sh', '-c', 'echo ran; exit 5'])
    running.child.stdin!.end()
    t.match(await running.done, { status: 5, stdout: 'ran\n' })
    t.same(below(dir), [])
  }
})

t.test('a run within a run: of two delays the shorter one counts', async t => {
  for (const [outer, inner] of [
    ['60000', '300'],
    ['300', '60000'],
  ] as const) {
    // Beside the outer one nothing is the outer one's.
    if (version === 2 && inner === '60000') continue
    const dir = scratch(t)
    const { running } = nested(dir, ['--delay', outer], ['--delay', inner], [compiled('hog')])
    running.child.stdin!.write(fill.input)
    const { status, stderr } = await running.done
    t.equal(status, 137, stderr)
    t.match(stderr, /fallback \(kernel\), 1 process killed$/m)
    t.same(below(dir), [])
  }
})

t.test('a run within a run: whichever dies, the inner group does not hang', async t => {
  for (const victim of ['inner', 'outer'] as const) {
    const dir = scratch(t)
    const { running, group } = nested(
      dir,
      ['--delay', '500'],
      ['--delay', '500'],
      [compiled('hog')],
    )
    await until(() => existsSync(group) && read(group, 'cgroup.procs') !== '')
    const job = Number(read(group, 'cgroup.procs'))
    await until(() => readFileSync(`/proc/${job}/comm`, 'utf8') === 'hog\n')
    // The inner run is the job's parent.
    const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${job}/status`, 'utf8'))![1])
    process.kill(victim === 'inner' ? parent : running.child.pid!, 'SIGKILL')
    await until(() => !isAlive(String(victim === 'inner' ? parent : running.child.pid!)))
    running.child.stdin!.write(fill.input)
    await until(() => !isAlive(String(job)))
    running.child.stdin!.end()
    running.child.stdout!.destroy()
    running.child.stderr!.destroy()
    t.pass(`${victim}: the job was killed`)
    await until(() => !existsSync(group) || !isHeld(group))
  }
})

t.test('--fallback chooses another fallback', async t => {
  const dir = scratch(t)
  const { status, stderr } = await cli(
    greedy(['--delay', '100', '--fallback', 'kill-group', '--parent', dir]),
    fill,
  )
  t.equal(status, 137)
  t.match(stderr, /: fallback \(kill-group\), 1 process killed$/m)
})

t.test('if the limit is raised in time, the command goes on', async t => {
  const dir = scratch(t)
  const running = new RunningCli(greedy(['--delay', '60000', '--name', 'job', '--parent', dir]))
  running.child.stdin!.write(fill.input)
  const group = join(dir, 'job')
  await until(() => existsSync(group) && underOom(group))
  await (await openGroup(t, group)).setLimits({ max: '128M' })
  await until(() => running.stdout.includes('filled'))
  running.child.stdin!.end()
  const { status, stderr } = await running.done
  t.equal(status, 0)
  t.match(stderr, /: the limit was raised$/m)
  t.match(stderr, /(peak 6\d\.\d MiB of 16\.0 MiB; )?out of memory 1 time, 0 processes killed$/m)
})

t.test('without --delay the kernel decides at once', async t => {
  const dir = scratch(t)
  const running = new RunningCli(greedy(['--name', 'job', '--parent', dir]))
  const group = join(dir, 'job')
  await until(() => existsSync(group) && running.stdout.includes('pid'))
  t.notOk(isHeld(group))
  running.child.stdin!.end(fill.input)
  const { status, stderr } = await running.done
  t.equal(status, 137)
  t.match(stderr, /^cgroup-oom: out of memory: .*job; the kernel killed 1 task$/m)
  t.match(stderr, /out of memory \d+ times?, 1 process killed$/m) // v2 counts each try
})

t.test('--raise gives it more memory once', async t => {
  const dir = scratch(t)
  const grow = ['--delay', '60000', '--raise', '64M', '--parent', dir]
  const { status, stderr } = await cli(greedy(grow), { input: 'fill 33554432\n' })
  t.equal(status, 0)
  t.match(stderr, /: the limit was raised$/m)
  t.match(stderr, /out of memory 1 time, 0 processes killed\n$/)
})

t.test('--json: the whole report, beside the command or in a file', async t => {
  const dir = scratch(t)
  const { status, stderr } = await cli(greedy(['--json', '--parent', dir]), fill)
  t.equal(status, 137)
  t.match(JSON.parse(stderr), {
    ...{ oom: 'yes', by: 'kernel', origin: 'self', code: null, signal: 'SIGKILL', kernelKills: 1 },
    ...{ limit: 16 * MiB, timedOut: false, killed: 1, left: 0 },
  })
  const file = join(t.testdir({}), 'report.json')
  const quiet = ['run', '--quiet', '--json', file, '--parent', dir, ...sh('exit 3')]
  t.match(await cli(quiet), { status: 3, stderr: '' })
  t.match(JSON.parse(readFileSync(file, 'utf8')), { oom: 'no', code: 3, signal: null })
  const lost = ['run', '--json=/no/such/place', '--quiet', '--parent', dir, ...sh('exit 3')]
  t.match(await cli(lost), { status: 125, stderr: /ENOENT/ }, 'before the command runs')
  t.same(below(dir), [])
})

t.test('--timeout ends all of it', async t => {
  const dir = scratch(t)
  const deaf = `setsid sh -c 'trap "" TERM; while :; do sleep 1; done' & while :; do sleep 0.1; done`
  const { status, stderr } = await cli(['run', '--timeout', '300', '--parent', dir, ...sh(deaf)])
  t.equal(status, 124)
  t.match(stderr, /ended by SIGTERM after .*; timed out; .*left behind and ended$/m)
  t.same(below(dir), [])
})

t.test('--fail-on-oom: a job that hides that one of its processes was killed', async t => {
  const dir = scratch(t)
  const hidden = (...options: string[]) =>
    cli(
      ['run', '--max', '16M', ...options, '--parent', dir, ...sh(`${compiled('hog')} || true`)],
      fill,
    )
  t.match(await hidden(), { status: 0, stderr: /exited with 0; out of memory: the kernel killed/ })
  t.match(await hidden('--fail-on-oom'), { status: 137 })
  const fine = ['run', '--fail-on-oom', '--parent', dir, ...sh('exit 0')]
  t.match(await cli(fine), { status: 0 })
})

t.test('--observe: no group of its own', async t => {
  const home = scratch(t)
  const script = `grep ${HIERARCHY} /proc/self/cgroup; exit 4`
  const running = new RunningCli(['run', '--observe', ...sh(script)], { inside: home })
  const { status, stdout, stderr } = await running.done
  t.equal(status, 4)
  t.ok(stdout.trimEnd().endsWith(home.split('/').slice(-2).join('/')), stdout)
  t.match(stderr, /^cgroup-oom: exited with 4 after [^;]*\n$/)
  for (const option of [
    ['--max', '1M'],
    ['--delay', '1'],
    ['--name', 'x'],
    ['--parent', home],
    ['--settle'],
  ]) {
    t.match(await cli(['run', '--observe', ...option, ...sh('exit')]), { status: 2 })
  }
  t.match(await cli(['run', '--settle', '--parent', home, ...sh('exit')]), { status: 2 })
  t.match(await cli(['run', '--raise', '1M', ...sh('exit')]), { status: 2, stderr: /--delay/ })
})

t.test('processes that the command leaves behind are ended', async t => {
  const dir = scratch(t)
  for (const guarded of [[], ['--delay', '60000']]) {
    const script = 'setsid sleep 1000 >/dev/null 2>&1 & echo $!'
    const { status, stdout, stderr } = await cli([
      'run',
      ...guarded,
      '--parent',
      dir,
      ...sh(script),
    ])
    t.equal(status, 0)
    t.match(stderr, /; 1 process left behind and ended$/m)
    t.notOk(isAlive(stdout.trim()))
    t.same(below(dir), [])
  }
})

for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
  t.test(`${signal} is passed on`, async t => {
    const dir = scratch(t)
    const trap = `trap 'echo got ${signal}; exit 5' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`
    const running = new RunningCli(['run', '--parent', dir, ...sh(trap)])
    await until(() => running.stdout === 'ready\n')
    running.child.kill(signal)
    t.match(await running.done, { status: 5, stdout: `ready\ngot ${signal}\n` })
    t.same(below(dir), [])
  })
}

t.test('a signal before the command runs: no command, no group', async t => {
  const dir = scratch(t)
  const running = new RunningCli([
    'run',
    '--name',
    'job',
    '--parent',
    dir,
    ...sh('echo ran; sleep 1000'),
  ])
  await until(() => existsSync(join(dir, 'job')))
  running.child.kill('SIGTERM')
  const { status, signal } = await running.done
  t.match({ status, signal }, { status: 143, signal: null })
  t.same(below(dir), [])
})

t.test('Ctrl-C in a terminal reaches the command once', async t => {
  const dir = scratch(t)
  const count = `
    process.on('SIGINT', () => console.log('got it')).on('SIGTERM', () => process.exit(5))
    setInterval(() => {}, 1000)
    console.log('ready')`
  const line = `exec "$NODE" "$CLI" run --quiet --name job --parent ${dir} -- "$NODE" -e "$COUNT"`
  const variables = { PATH: process.env.PATH, NODE: process.execPath, CLI, COUNT: count }
  const terminal = spawn(
    'env',
    [
      '-i',
      ...Object.entries(variables).map(([name, value]) => `${name}=${value}`),
      'SHELL=/bin/sh',
    ].concat('script', '--quiet', '--return', '--command', line, '/dev/null'),
  )
  let output = ''
  terminal.stdout.on('data', text => (output += String(text)))
  const done = new Promise<number | null>(resolve => terminal.once('close', resolve))
  await until(() => output.includes('ready'))
  terminal.stdin.write('\x03')
  await until(() => output.includes('got it'))
  // Passed on after whatever else came before it.
  const pid = read(join(dir, 'job'), 'cgroup.procs').split('\n')[0]
  const [, above] = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  process.kill(Number(above), 'SIGTERM')
  t.equal(await done, 5)
  t.equal(output.split('got it').length - 1, 1)
})

t.test('if run itself fails, the status is 125 and nothing is left', async t => {
  const dir = scratch(t)
  child(dir, 'taken')
  const bad: [options: string[], reason: RegExp][] = [
    [['--parent', dir, '--name', 'taken'], /EEXIST/],
    [['--parent', join(dir, 'gone')], /ENOENT/],
    [['--parent', '/tmp'], /not a directory of a memory cgroup/],
  ]
  for (const [options, reason] of bad) {
    const result: CliResult = await cli(['run', ...options, '--', 'echo', 'ran'])
    t.match(result, { status: 125, stdout: '', stderr: reason })
  }
  t.same(below(dir), ['taken'])
})
