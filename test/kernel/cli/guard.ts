// cgroup-oom guard: groups that exist already, by options and by a file.
// lab: left out: many Node.js processes, each of which takes seconds to start there; guard-v2 is tried
import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RunningCli, cli } from '../../helpers/cli.js'
import { compiled } from '../../helpers/compile.js'
import { Hog } from '../../helpers/hog.js'
import { isHeld, MiB, write } from '../../helpers/memory-files.js'
import { child, scratch, until } from '../../helpers/scratch.js'
import { mountOf, twin } from '../../helpers/twin.js'

interface Line {
  type: string
  group: string
  [key: string]: unknown
}

const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Line)

class Guarding extends RunningCli {
  get lines(): Line[] {
    return linesOf(this.stdout)
  }
  all(type: string): Line[] {
    return this.lines.filter(line => line.type === type)
  }
  /** The n-th line of that type, once it is there. */
  async line(type: string, n = 1): Promise<Line> {
    await until(() => this.all(type).length >= n || this.child.exitCode !== null)
    const line = this.all(type)[n - 1]
    if (line === undefined) throw new Error(`no '${type}': ${this.stdout}${this.stderr}`)
    return line
  }
}

async function guarding(t: Test, args: string[], env: string[] = []): Promise<Guarding> {
  const running = new Guarding(['guard', '--json', ...args], { under: ['env', ...env] })
  t.teardown(() => running.child.kill('SIGKILL'))
  await running.line('ready')
  return running
}

function directory(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'cgroup-oom-guard-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

/** A process of the group that wants more than the group may have, until it is killed. */
async function starve(dir: string): Promise<void> {
  const hog = await Hog.start(dir)
  await hog.fill(32 * MiB).catch(() => {})
  await hog.exited
}

t.test('an episode as it is printed; SIGTERM puts everything back', async t => {
  const dir = scratch(t, 16 * MiB)
  const record = join(t.testdir(), 'oom.jsonl')
  const options = ['--delay', '200', '--fallback', 'kill-largest', '--record', record]
  const running = await guarding(t, [...options, dir])
  t.match(await running.line('armed'), { group: dir, heldBy: 'kernel', delayMs: 200 })
  t.ok(isHeld(dir))
  await starve(dir)
  const begin = await running.line('begin')
  t.match(begin, { group: dir, guarded: dir, id: 1, limit: 16 * MiB, delayMs: 200 })
  const end = await running.line('end')
  t.match(end, { group: dir, id: 1, outcome: 'fallback', kernelKills: 0 })
  t.equal((end.killed as number[]).length, 1)
  const after = Number(BigInt(end.at as string) - BigInt(begin.startedAt as string)) / 1e6
  t.ok(after >= 200, `${after} ms`)
  running.child.kill('SIGTERM')
  t.match(await running.done, { status: 0, stderr: '' })
  t.ok(running.all('released').length === 1)
  t.notOk(isHeld(dir))
  t.match(JSON.parse(readFileSync(record, 'utf8')), { group: dir, outcome: 'fallback' })
})

t.test('as text: a line an event; ends when all groups are gone', async t => {
  const dir = scratch(t)
  const one = child(dir, 'one', 16 * MiB)
  const two = child(dir, 'two', 16 * MiB)
  const running = new RunningCli(['guard', '--delay', '50', one, two])
  t.teardown(() => running.child.kill('SIGKILL'))
  await until(() => running.stderr !== '')
  t.equal(running.stderr, 'guarding 2 groups\n')
  await starve(one)
  await until(() => running.stdout.includes(' end '))
  for (const path of [one, two]) rmdirSync(path)
  const { status, stdout } = await running.done
  t.equal(status, 0)
  const rest = stdout.split('\n').map(line => line.replace(/^\S+Z /, '').replaceAll(dir, ''))
  t.match(rest, [
    'armed /one held by kernel, 50 ms',
    'armed /two held by kernel, 50 ms',
    /^begin \/one out of memory: 16\.0 MiB of 16\.0 MiB$/,
    /^end \/one after \d+ ms: fallback \(kernel\), 1 process killed$/,
    /^gone \/(one|two)$/,
    /^gone \/(one|two)$/,
    '',
  ])
})

t.test(
  'a guard that has lost its guardian is armed again, once another can be started',
  async t => {
    if (mountOf('pids') === undefined) return t.pass('nothing here to bound its forks with')
    const dir = scratch(t, 16 * MiB)
    const running = await guarding(t, ['--delay', '100', '--fallback', 'kill-largest', dir])
    await running.line('armed')
    const { pid } = running.child
    const pids = twin(t, 'pids', dir)
    write(pids, 'pids.max', 1)
    write(pids, 'cgroup.procs', pid!)
    // A child of one of its threads.
    const guardian = readdirSync(`/proc/${pid}/task`)
      .flatMap(tid => readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').split(' '))
      .filter(Boolean)
      .find(child => readFileSync(`/proc/${child}/comm`, 'utf8') === 'oom-guardian\n')
    process.kill(Number(guardian), 'SIGKILL')
    t.match(await running.line('failed'), { group: dir, code: 'ERR_GUARDIAN_LOST' })
    t.notOk(isHeld(dir), 'no group hangs meanwhile')
    t.match(await running.line('failed', 2), { group: dir, code: String, message: String })
    t.equal(running.all('armed').length, 1)
    write(pids, 'pids.max', 'max')
    await running.line('armed', 2)
    await starve(dir)
    t.equal((await running.line('end')).outcome, 'fallback')
  },
)

t.test('a command for each episode: JSON on stdin, variables, never waited for', async t => {
  const dir = scratch(t, 16 * MiB)
  const out = directory(t)
  const script = join(out, 'script')
  writeFileSync(
    script,
    `#!/bin/sh\nenv | grep ^CGROUP_OOM_ >${out}/env\ncat >${out}/stdin\nexec sleep 100\n`,
  )
  chmodSync(script, 0o755)
  const running = await guarding(t, ['--delay', '100', '--on-episode', script, dir])
  await starve(dir)
  const begin = await running.line('begin')
  const end = await running.line('end')
  t.equal(end.outcome, 'fallback')
  await until(
    () =>
      existsSync(join(out, 'stdin')) &&
      linesOf(readFileSync(join(out, 'stdin'), 'utf8')).length === 2,
  )
  const [first, second] = linesOf(readFileSync(join(out, 'stdin'), 'utf8'))
  t.match(first, { ...begin, time: String })
  t.match(second, { ...end, time: String })
  const env = Object.fromEntries(
    readFileSync(join(out, 'env'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(line => line.split('=')),
  ) as Record<string, string>
  t.match(env, { CGROUP_OOM_GROUP: dir, CGROUP_OOM_GUARDED: dir, CGROUP_OOM_ID: '1' })
  t.match(env, { CGROUP_OOM_LIMIT: String(16 * MiB), CGROUP_OOM_DELAY_MS: '100' })
  t.ok(Number(env.CGROUP_OOM_LEFT_MS) <= 100)
  running.child.kill('SIGTERM')
  t.match(await running.done, { status: 0 }, 'it does not wait for the command')
})

t.test('commands that cannot be started, or are too many, cost no episode', async t => {
  const dir = scratch(t, 16 * MiB)
  const file = join(directory(t), 'guard.json')
  const config = (onEpisode: unknown) =>
    writeFileSync(file, JSON.stringify({ delayMs: 20, onEpisode, groups: [dir] }))
  config(['/no/such/program'])
  const running = await guarding(t, ['--config', file])
  await starve(dir)
  t.match(await running.line('command'), { group: dir, message: /^on-episode: .*ENOENT/ })
  t.match(await running.line('end'), { outcome: 'fallback' })
  config('sleep 100')
  running.child.kill('SIGHUP')
  await running.line('reloaded')
  for (let i = 0; i < 9; i++) await starve(dir)
  t.match(await running.line('command', 2), { message: /not run: 8 commands are still running/ })
  await running.line('end', 10)
  config('exit 3')
  running.child.kill('SIGTERM')
  t.match(await running.done, { status: 0 })
})

t.test('a command is refused where it would starve with the group', async t => {
  const dir = scratch(t, 512 * MiB)
  const running = new RunningCli(
    ['guard', '--on-episode', 'true', '--plan', '0:headroom:32M', dir],
    {
      inside: dir,
    },
  )
  t.match(await running.done, { status: 1, stderr: /has this process itself.*outside of it/ })
  t.notOk(isHeld(dir))
})

t.test(
  'SIGHUP reads the file again: groups added, taken away, changed; a broken file changes nothing',
  async t => {
    const dir = scratch(t)
    const [a, b, c] = ['a', 'b', 'c'].map(name => child(dir, name, 16 * MiB)) as [
      string,
      string,
      string,
    ]
    const file = join(directory(t), 'guard.json')
    writeFileSync(file, JSON.stringify({ delayMs: 60_000, groups: [a, b] }))
    const running = await guarding(t, ['--config', file])
    t.same([a, b, c].map(isHeld), [true, true, false])

    writeFileSync(file, '{ "groups": [')
    running.child.kill('SIGHUP')
    t.match(await running.line('problem'), { message: /guard\.json: .*JSON.*nothing has changed/s })
    writeFileSync(file, JSON.stringify({ delay: 1, groups: [a] }))
    running.child.kill('SIGHUP')
    t.match(await running.line('problem', 2), { message: /did you mean "delayMs"\?/ })
    t.same([a, b, c].map(isHeld), [true, true, false])

    const plan = [{ afterMs: 0, action: 'kill-largest' }]
    writeFileSync(
      file,
      JSON.stringify({
        delayMs: 60_000,
        groups: [
          { path: a, delayMs: 50 },
          { path: c, plan },
        ],
      }),
    )
    running.child.kill('SIGHUP')
    t.match(await running.line('reloaded'), { armed: 2, groups: 2 })
    t.same([a, b, c].map(isHeld), [true, false, true])
    t.match(running.all('changed'), [{ group: a, delayMs: 50 }])
    t.equal(
      running.all('armed').filter(({ group }) => group === a).length,
      1,
      'a delay takes no other guard',
    )
    await starve(a)
    t.match(await running.line('end'), { group: a, outcome: 'fallback' })

    writeFileSync(
      file,
      JSON.stringify({ delayMs: 60_000, groups: [{ path: a, plan }, join(dir, 'none')] }),
    )
    running.child.kill('SIGHUP')
    t.match(await running.line('reloaded', 2), { armed: 1, groups: 2 })
    t.match(running.all('failed'), [{ group: join(dir, 'none'), code: 'ENOENT' }])
    await starve(a)
    t.match(await running.line('end', 2), { group: a, outcome: 'plan' })

    // Tried again, also where no other is guarded; none of them is the end.
    writeFileSync(file, JSON.stringify({ delayMs: 60_000, groups: [join(dir, 'none')] }))
    running.child.kill('SIGHUP')
    t.match(await running.line('reloaded', 3), { armed: 0, groups: 1 })
    const none = child(dir, 'none', 16 * MiB)
    await until(() => running.all('armed').some(({ group }) => group === none))
    t.ok(isHeld(none))
    running.child.kill('SIGINT')
    t.match(await running.done, { status: 0 })
    t.same([a, b, c].map(isHeld), [false, false, false])
  },
)

t.test('it goes on where its lines can no longer be written', async t => {
  const dir = scratch(t, 16 * MiB)
  const running = new RunningCli(['guard', '--delay', '300', '--fallback', 'kill-largest', dir])
  t.teardown(() => running.child.kill('SIGKILL'))
  await until(() => running.stderr.includes('guarding 1 group'))
  running.child.stdout!.destroy()
  const hog = await Hog.start(dir)
  const began = process.hrtime.bigint()
  await hog.fill(32 * MiB).catch(() => {})
  await hog.exited
  t.ok(process.hrtime.bigint() - began >= 300_000_000n)
  await until(() => /stdout: .*EPIPE.*guarding goes on without output/.test(running.stderr))
  t.ok(isHeld(dir))
  running.child.kill('SIGTERM')
  t.match(await running.done, { status: 0 })
  t.notOk(isHeld(dir))
})

t.test('--follow: a group that is not there yet, and one that comes back', async t => {
  const dir = scratch(t)
  const path = join(dir, 'above', 'job')
  const running = await guarding(t, [
    '--follow',
    '--delay',
    '50',
    '--fallback',
    'kill-largest',
    path,
  ])
  t.match(await running.line('waiting'), { group: path })
  const above = child(dir, 'above')
  for (const round of [1, 2, 3]) {
    child(above, 'job', 16 * MiB)
    await running.line('armed', round)
    await starve(path)
    t.match(await running.line('end', round), { group: path, outcome: 'fallback' })
    rmdirSync(path)
    await running.line('gone', round)
  }
  running.child.kill('SIGTERM')
  t.match(await running.done, { status: 0 })
})

t.test('the service manager is told', async t => {
  const dir = scratch(t, 16 * MiB)
  const home = directory(t)
  const file = join(home, 'guard.json')
  writeFileSync(
    file,
    JSON.stringify({
      onEpisode: `echo "[$NOTIFY_SOCKET]" >${home}/socket`,
      delayMs: 20,
      groups: [dir],
    }),
  )
  for (const address of [join(home, 'notify'), `@cgroup-oom-test-${process.pid}`]) {
    const manager = spawn(compiled('datagrams'), [address], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => manager.kill('SIGKILL'))
    let told = ''
    manager.stdout.on('data', text => (told += String(text)))
    await until(() => told === 'ready\n')
    const running = await guarding(t, ['--config', file], [`NOTIFY_SOCKET=${address}`])
    await until(() => told.includes('READY=1 STATUS=guarding 1 group\n'))
    running.child.kill('SIGHUP')
    await until(() => told.split('READY=1').length === 3)
    t.match(told, /RELOADING=1 MONOTONIC_USEC=\d+\nREADY=1 STATUS=guarding 1 group\n$/)
    await starve(dir)
    await until(
      () => existsSync(join(home, 'socket')) && readFileSync(join(home, 'socket'), 'utf8') !== '',
    )
    t.equal(
      readFileSync(join(home, 'socket'), 'utf8'),
      '[]\n',
      'a command is no service of its own',
    )
    running.child.kill('SIGTERM')
    t.match(await running.done, { status: 0 })
    await until(() => told.includes('STOPPING=1'))
  }
  const nobody = await guarding(t, [dir], [`NOTIFY_SOCKET=${home}/nobody`])
  t.match(await nobody.line('problem'), { message: /^\$NOTIFY_SOCKET: ENOENT/ })
})

t.test('what is wrong is named, and nothing is touched', async t => {
  const dir = scratch(t, 16 * MiB)
  const file = join(directory(t), 'guard.json')
  writeFileSync(file, JSON.stringify({ groups: [dir], fallbak: 'kernel' }))
  const cases: [args: string[], status: number, message: RegExp][] = [
    [[], 2, /a GROUP is missing/],
    [['--dealy', '5', dir], 2, /unknown option --dealy: did you mean --delay\?/],
    [['--fallback', 'kil-group', dir], 2, /did you mean "kill-group"\?/],
    [['--delay', 'soon', dir], 2, /--delay.*whole milliseconds/],
    [['--plan', '0:headrom:1M', dir], 2, /did you mean "headroom"\?/],
    [['--config', file], 2, /guard\.json: the file: .*did you mean "fallback"\?/],
    [['--config', `${file}.none`], 2, /ENOENT/],
    [['--config', file, dir], 2, /groups are in the FILE/],
    [['--config', file, '--delay', '5'], 2, /--delay is in the FILE/],
    [[dir, `${dir}/none`], 1, /ENOENT/],
  ]
  for (const [args, status, message] of cases) {
    t.match(await cli(['guard', ...args]), { status, stderr: message }, args.join(' '))
    t.notOk(isHeld(dir))
  }
})

t.test('--metrics: what Prometheus gets, on the loopback interface; guard and watch', async t => {
  const dir = scratch(t, 16 * MiB)
  const running = await guarding(t, ['--delay', '50', '--metrics', '0', dir])
  const { url } = await running.line('metrics')
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
  const watching = new RunningCli(['watch', '--metrics', '[::1]:0', dir])
  t.teardown(() => watching.child.kill('SIGKILL'))
  await until(() => watching.stderr.includes('watching') || watching.child.exitCode !== null)
  const [, watchUrl] = /^metrics at (http:\/\/\[::1\]:\d+\/metrics)\n/.exec(watching.stderr) ?? []
  await starve(dir)
  await running.line('end')
  await until(() => watching.stdout.includes(' kill '))
  const get = async (from: unknown, method = 'GET') => {
    const response = await fetch(from as string, { method })
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      text: await response.text(),
    }
  }
  const { status, type, text } = await get(url)
  t.equal(status, 200)
  t.equal(type, 'text/plain; version=0.0.4; charset=utf-8')
  t.match(text, `cgroup_oom_episodes_total{group="${dir}",outcome="fallback"} 1\n`)
  t.match(text, `cgroup_oom_memory_limit_bytes{group="${dir}"} ${16 * MiB}\n`)
  t.match((await get(watchUrl)).text, `cgroup_oom_events_total{group="${dir}",type="kill"} 1\n`)
  t.match(await get(url, 'HEAD'), { status: 200, text: '' })
  t.match(await get(url, 'POST'), { status: 405 })
  t.match(await get(new URL('/', url as string)), { status: 404 })
  for (const one of [running, watching]) {
    one.child.kill('SIGTERM')
    t.match(await one.done, { status: 0 })
  }
  for (const [address, message] of [
    ['9100x', /--metrics.*must be \[HOST:\]PORT/],
    ['65536', /--metrics/],
  ] as const) {
    t.match(await cli(['guard', '--metrics', address, dir]), { status: 2, stderr: message })
  }
  t.notOk(isHeld(dir))
})
