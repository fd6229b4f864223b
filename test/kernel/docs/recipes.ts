// Each program of examples/recipes/ with what it is about: the package of the npm registry, the program of Debian's. What
// is not here is fetched by `npm run test:recipes`, and skipped otherwise. They load the package by its name: dist/ has
// to be built.
// lab: left out: packages that npm run test:recipes fetches
// slow: left out: packages that npm run test:recipes fetches
import t, { type Test } from 'tap'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { RunningCli } from '../../helpers/cli.js'
import { compiled } from '../../helpers/compile.js'
import { unshared, mounts } from '../../helpers/containers.js'
import { MiB, mount } from '../../helpers/memory-files.js'
import { child as below, scratch, until } from '../../helpers/scratch.js'

const root = process.cwd()
const programs = join(root, 'examples/recipes')
const cache = join(root, '.cache/recipes')
const PATH = `${join(cache, 'bin')}:${process.env.PATH}`

const hasProgram = (name: string) =>
  spawnSync('sh', ['-c', `command -v ${name}`], { env: { PATH } }).status === 0
const has = (name: string) => existsSync(join(cache, 'node_modules', name)) || hasProgram(name)
const needs = (...names: string[]) => {
  const missing = names.filter(name => !has(name))
  return missing.length === 0 ? {} : { skip: `npm run test:recipes fetches ${missing.join(', ')}` }
}

// 1 MiB more each time, without end.
const GREEDY = 'const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1))'

interface Running {
  child: ChildProcess
  /** What it has printed so far, on both. */
  output: () => string
  ended: Promise<{ code: number | null; output: string }>
}

// The test runner's own settings, which it hands down to all Node.js below it, are none of theirs.
const CLEAN = ['-u', 'NODE_OPTIONS', '-u', 'NODE_V8_COVERAGE']

/** Starts Node.js in a group of its own, below which MemoryGroup.home() makes others. */
function start(t: Test, args: string[], { cwd = root, max = 0, seconds = 120 } = {}): Running {
  const dir = scratch(t, max || undefined, seconds)
  const join = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
  const line = [...CLEAN, 'sh', '-c', join, dir, process.execPath, ...args]
  const child = spawn('env', line, {
    cwd,
    env: { ...process.env, PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', text => (output += String(text)))
  }
  const ended = once(child, 'close').then(([code]) => {
    t.strictSame(
      readdirSync(dir, { withFileTypes: true }).filter(entry => entry.isDirectory()),
      [],
      'no group is left',
    )
    return { code: code as number | null, output }
  })
  return { child, output: () => output, ended }
}

const recipe = (name: string) => join(programs, name)

/** A project of a user that has the packages installed, with these files and recipes in it. */
function project(t: Test, files: Record<string, string>, ...recipes: string[]): string {
  const directory = mkdtempSync(join(cache, 'project-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  for (const [name, text] of Object.entries({ 'package.json': '{ "type": "module" }', ...files })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  for (const name of recipes) cpSync(recipe(name), join(directory, name))
  return directory
}

type Run = (t: Test) => Promise<void>
const tests: Record<string, [needed: string[], run: Run]> = {
  'tool-call.js': [
    [],
    async t => {
      const call = async (command: string) => {
        const { code, output } = await start(t, [recipe('tool-call.js'), command]).ended
        t.equal(code, 0)
        return JSON.parse(output) as unknown
      }
      t.same(await call('echo 6 times 7 is $((6 * 7)); echo so it is >&2; exit 3'), {
        code: 3,
        stdout: '6 times 7 is 42\n',
        stderr: 'so it is\n',
      })
      t.match(await call(`${process.execPath} -e '${GREEDY}' || true`), {
        error:
          /^It needs more than 256 MiB: exited with 0; out of memory: the kernel killed 1 task /,
      })
    },
  ],

  'sigterm-first.js': [
    [],
    async t => {
      const cwd = t.testdir({
        'leak.cjs': `const held = []
          setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)
          process.on('SIGTERM', () => {
            require('fs').writeFileSync('saved', String(held.length))
            process.exit(0)
          })`,
      })
      const { output } = await start(
        t,
        [recipe('sigterm-first.js'), process.execPath, 'leak.cjs'],
        { cwd },
      ).ended
      t.match(output, /^exited with 0; (likely )?out of memory: a guard had asked it to end /)
      t.ok(Number(readFileSync(join(cwd, 'saved'), 'utf8')) > 32, 'it has saved its work')
    },
  ],

  'heap-snapshot.js': [
    [],
    async t => {
      const cwd = t.testdir({
        'leak.mjs': `class Leaked { numbers = Array.from({ length: 200 }, Math.random) }
          const held = []
          setInterval(() => { for (let i = 0; i < 200; i++) held.push(new Leaked()) }, 5)`,
      })
      const { output } = await start(t, [recipe('heap-snapshot.js'), 'leak.mjs'], { cwd }).ended
      const [, file] = /^snapshot: (.+\.heapsnapshot)$/m.exec(output) ?? []
      t.match(output, /^exited with 70; /m)
      const snapshot = JSON.parse(readFileSync(join(cwd, file!), 'utf8')) as { strings: string[] }
      t.ok(snapshot.strings.includes('Leaked'), 'what has leaked is in it')
    },
  ],

  'ffmpeg.js': [
    ['ffmpeg'],
    async t => {
      const cwd = t.testdir({})
      const source = 'testsrc2=size=3840x2160:rate=10:duration=3'
      const made = spawnSync(
        'ffmpeg',
        ['-nostdin', '-v', 'error', '-f', 'lavfi', '-i', source, '-c:v', 'mpeg4', 'large.mp4'],
        { cwd, env: { ...process.env, PATH } },
      )
      t.equal(made.status, 0, String(made.stderr))
      const args = [recipe('ffmpeg.js'), 'large.mp4', 'small.mp4']
      const { code, output } = await start(t, args, { cwd }).ended
      t.equal(code, 0)
      const [first, second] = output.split('\n')
      t.match(first, /^ended by SIGKILL; out of memory: the kernel killed 1 task /)
      t.match(second, /^in a smaller size: exited with 0; not out of memory, /)
      t.ok(existsSync(join(cwd, 'small.mp4')))
    },
  ],

  'bwrap.js': [
    ['bwrap'],
    async t => {
      const tried = spawnSync('bwrap', ['--ro-bind', '/', '/', '--unshare-all', 'true'], {
        env: { PATH },
      })
      if (tried.status !== 0) return void t.pass('bwrap may make no namespaces here')
      const inside = (...command: string[]) => start(t, [recipe('bwrap.js'), ...command]).ended
      const answer = await inside('sh', '-c', 'echo hello; cat /proc/1/comm; touch /etc/x')
      t.match(
        answer.output,
        /^hello\nbwrap\ntouch: .*Read-only file system\nexited with 1; not out/,
      )
      const greedy = await inside(process.execPath, '-e', GREEDY)
      t.match(greedy.output, /; out of memory: the kernel killed 1 task at its group's limit/)
    },
  ],

  'execa.js': [
    ['execa'],
    async t => {
      const cwd = project(t, {}, 'execa.js')
      const command = (...words: string[]) => start(t, ['execa.js', ...words], { cwd }).ended
      const where = await command('cat', '/proc/self/cgroup')
      t.match(where, { code: 0, output: /:memory:.*\/execa-\d+\n|^0::.*\/execa-\d+\n/ })
      const greedy = await command(process.execPath, '-e', GREEDY)
      t.match(greedy, { code: 1, output: /^ended by SIGKILL; out of memory: the kernel killed 1/ })
    },
  ],

  'fastify.js': [
    ['fastify'],
    async t => {
      const cwd = project(t, {}, 'fastify.js')
      const server = start(t, ['fastify.js', '0'], { cwd, max: 512 * MiB })
      await until(() => server.output().includes('http'))
      const [, url] = /(http:\S+)/.exec(server.output())!
      const ask = () => fetch(url!, { headers: { connection: 'close' } })
      t.same(await (await ask()).json(), { hello: 'world' })
      // A neighbour of the server in its group, which does what the server might.
      const group = readFileSync(`/proc/${server.child.pid}/cgroup`, 'utf8')
      t.ok(group)
      const dir = `/sys/fs/cgroup/memory${/^\d+:memory:(.*)$/m.exec(group)?.[1] ?? ''}`
      const code = `const held = Array.from({ length: 400 }, () => Buffer.alloc(1 << 20, 1))
        setInterval(() => held.length, 1000)`
      const join = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
      const large = spawn('sh', ['-c', join, dir, process.execPath, '-e', code], {
        stdio: 'ignore',
      })
      let refused: Response
      await until(async () => (refused = await ask()).status === 503)
      t.equal(refused!.headers.get('retry-after'), '5')
      large.kill('SIGKILL')
      await until(async () => (await ask()).status === 200)
      server.child.kill('SIGKILL')
      await server.ended
    },
  ],

  'jest-runner.js': [
    ['jest', 'jest-runner'],
    async t => {
      const leak = `test('leaks', () => { ${GREEDY} })`
      const good = `test('is small', () => {})`
      const cwd = project(
        t,
        {
          'jest.config.json': '{ "runner": "./jest-runner.js", "maxWorkers": 2 }',
          'a.test.cjs': good,
          'b.test.cjs': leak,
          'c.test.cjs': good,
          'd.test.cjs': good,
        },
        'jest-runner.js',
      )
      const jest = join(cache, 'node_modules/jest/bin/jest.js')
      const { code, output } = await start(t, [jest, '--ci'], { cwd }).ended
      t.equal(code, 1)
      const [, pid] = /A jest worker process \(pid=(\d+)\) was terminated/.exec(output) ?? []
      t.match(output, `; killed: ${pid} (`, "the worker's number is that of the reason")
      t.match(output, /FAIL .*b\.test\.cjs/)
      t.match(output, /Test Suites: 1 failed, 3 passed, 4 total/)
    },
  ],

  'vitest.config.js': [
    ['vitest'],
    async t => {
      const head = `import { test } from 'vitest'\n`
      const good = `${head}test('is small', () => {})`
      const cwd = project(
        t,
        {
          'a.test.js': good,
          'b.test.js': `${head}test('leaks', () => { ${GREEDY} })`,
          'c.test.js': good,
          'd.test.js': good,
        },
        'vitest.config.js',
      )
      const vitest = join(cache, 'node_modules/vitest/vitest.mjs')
      const { code, output } = await start(t, [vitest, 'run', '--maxWorkers=2'], { cwd }).ended
      t.equal(code, 1)
      t.match(output, /b\.test\.js.*: ended by SIGKILL; out of memory: the kernel killed 1 task/)
      t.match(output, /Test Files .*3 passed/)
    },
  ],

  'bullmq.js': [
    ['bullmq', 'ioredis', 'redis-server'],
    async t => {
      const cwd = project(
        t,
        {
          'processor.cjs': `module.exports = async ({ data }) => { if (data.leak) { ${GREEDY} } }`,
          'produce.js': `import { Queue } from 'bullmq'
            const queue = new Queue('images', { connection: { path: process.argv[2] } })
            for (const leak of [false, true, false]) await queue.add('image', { leak })
            await queue.close()`,
        },
        'bullmq.js',
      )
      const socket = join(cwd, 'redis.sock')
      const redis = spawn(
        'redis-server',
        ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', cwd],
        { env: { ...process.env, PATH }, stdio: 'ignore' },
      )
      t.teardown(() => redis.kill('SIGKILL'))
      await until(() => existsSync(socket))
      const worker = start(t, ['bullmq.js', 'images', 'processor.cjs', socket], { cwd })
      await start(t, ['produce.js', socket], { cwd }).ended
      const done = () => worker.output().match(/^job /gm)?.length ?? 0
      await until(
        () =>
          (done() === 3 && worker.output().includes('killed: ')) || worker.child.exitCode !== null,
      )
      t.match(worker.output(), 'job 1: completed\n')
      t.match(worker.output(), 'job 2: Unexpected exit code: null signal: SIGKILL\n')
      t.match(worker.output(), 'job 3: completed\n')
      t.match(worker.output(), /^out of memory at 51\d\.\d MiB of .*; killed: \d+ \(/m)
      worker.child.kill('SIGTERM')
      t.equal((await worker.ended).code, 0)
    },
  ],

  'chromium.js': [
    ['puppeteer-core', 'chromium'],
    async t => {
      const leak = 'const held = []; for (;;) held.push(new Uint8Array(1 << 20).fill(1))'
      const page = (title: string, script = '') =>
        `<!doctype html><title>${title}</title><script>${script}</script>`
      const cwd = project(
        t,
        { 'a.html': page('first'), 'b.html': page('leaks', leak), 'c.html': page('last') },
        'chromium.js',
      )
      // What the browser maps would be charged to its group where nothing else has read it, and the group thrash at
      // its limit for minutes, which nothing shows on v1.
      spawnSync('sh', ['-c', 'cat /usr/lib/chromium/* /usr/lib/*/*.so* >/dev/null 2>&1'])
      const urls = ['a', 'b', 'c'].map(name => `file://${cwd}/${name}.html`)
      const { code, output } = await start(t, ['chromium.js', ...urls], { cwd }).ended
      t.equal(code, 0)
      t.match(output, 'a.html: first\n')
      t.match(output, /b\.html: (Page crashed!|.*(closed|crashed|detached).*)\n/)
      t.match(output, 'c.html: last\n')
      t.match(output, /the limit was raised\n[^]*the plan ended it; killed: \d+ \(chromium, /)
    },
  ],
}

const all = readdirSync(programs).filter(name => name.endsWith('.js'))
t.strictSame(Object.keys(tests).sort(), all.sort(), 'each recipe has its test')
t.ok(existsSync('dist/esm/lib/index.js'), 'dist/ is built')
for (const [name, [needed, run]] of Object.entries(tests)) t.test(name, needs(...needed), run)

interface Manifest {
  kind: string
  metadata: { name: string; namespace: string }
  data: Record<string, string>
  spec: {
    selector: { matchLabels: object }
    template: {
      metadata: { labels: object }
      spec: {
        hostPID: boolean
        containers: {
          command: string[]
          resources: { requests: object; limits: object }
          volumeMounts: { name: string; mountPath: string }[]
        }[]
        volumes: { name: string; configMap?: { name: string } }[]
      }
    }
  }
}

/** All documents of a file of YAML; what a parser warns of is an error. */
function documentsOf(file: string): unknown[] {
  const local = createRequire(join(cache, 'package.json'))
  interface Document {
    errors: unknown[]
    warnings: unknown[]
    toJS: () => unknown
  }
  const { parseAllDocuments } = local('yaml') as { parseAllDocuments: (text: string) => Document[] }
  return parseAllDocuments(readFileSync(join(root, file), 'utf8')).map(document => {
    if (document.errors.length + document.warnings.length > 0) throw document.errors[0]
    return document.toJS()
  })
}

t.test('daemonset.yaml', needs('yaml'), async t => {
  const [config, set] = documentsOf('examples/recipes/daemonset.yaml') as [Manifest, Manifest]
  t.strictSame([config.kind, set.kind], ['ConfigMap', 'DaemonSet'])
  const { selector, template } = set.spec
  t.strictSame(selector.matchLabels, template.metadata.labels)
  t.equal(template.spec.hostPID, true)
  const [container] = template.spec.containers
  const { requests, limits } = container!.resources
  t.strictSame(requests, limits, 'of the class that is not guarded')
  const { volumes } = template.spec
  t.strictSame(
    volumes.map(({ name }) => name).sort(),
    container!.volumeMounts.map(({ name }) => name).sort(),
  )
  t.equal(volumes.find(({ configMap }) => configMap)!.configMap!.name, config.metadata.name)
  const [, , name, ...args] = container!.command
  t.strictSame([name, args[0]], ['cgroup-oom', 'guard'])
  const file = args.find(arg => arg.startsWith('--config='))!.slice('--config='.length)
  const place = container!.volumeMounts.find(({ mountPath }) => mountPath === dirname(file))
  t.equal(volumes.find(({ name }) => name === place!.name)!.configMap!.name, 'cgroup-oom-guard')
  const text = config.data['guard.json']!
  const schema = JSON.parse(readFileSync('schemas/guard.json', 'utf8')) as object
  const fits = new Ajv2020({ strictTuples: false, strictTypes: false }).compile(schema)
  t.ok(fits(JSON.parse(text)), JSON.stringify(fits.errors))

  await t.test('in a cgroup namespace, with the groups of the machine', mounts, async t => {
    const node = scratch(t)
    const pods = below(node, 'kubepods')
    const pod = below(below(pods, 'burstable'), 'pod1', 64 * MiB)
    const guarding = below(pods, 'podguard')
    const top = node.slice(mount.length + 1)
    const files = t.testdir({ 'guard.json': text.replaceAll('"kubepods', `"${top}/kubepods`) })
    const own = args.map(arg =>
      arg.startsWith('--config=') ? `--config=${files}/guard.json` : arg,
    )
    const guard = new RunningCli(
      own.map(arg => (arg.startsWith('--metrics=') ? '--metrics=127.0.0.1:0' : arg)),
      { inside: guarding, under: unshared(['--cgroup'], 'true') },
    )
    t.teardown(() => guard.child.kill('SIGKILL'))
    const armed = `armed ${join(pods, 'burstable')} held by kernel`
    await until(() => guard.stdout.includes(armed) || guard.child.exitCode !== null)
    t.match(guard.stdout, armed, guard.stderr)
    const hog = spawn('sh', ['-c', 'echo $$ >"$0"/cgroup.procs; exec "$@"', pod, compiled('hog')], {
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    hog.stdin.on('error', () => {})
    hog.stdin.write(`fill ${256 * MiB}\n`)
    t.strictSame(await once(hog, 'exit'), [null, 'SIGKILL'])
    await until(() => guard.stdout.includes(' end '))
    t.match(guard.stdout, `fallback (kill-largest), 1 process killed: ${hog.pid}\n`)
    guard.child.kill('SIGTERM')
    t.equal((await guard.done).status, 0)
  })
})

t.test('compose.yaml', needs('yaml'), async t => {
  const [file] = documentsOf('examples/compose.yaml') as [
    { services: Record<string, { image: string; command: string[]; cgroup_parent?: string }> },
  ]
  const { guard, app } = file.services
  t.equal(guard!.command.at(-1), app!.cgroup_parent, 'what is guarded is above the application')
})

t.test('cgroup-oom-guard.service', needs('systemd-analyze'), async t => {
  const unit = join(root, 'examples/cgroup-oom-guard.service')
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], {
    encoding: 'utf8',
    env: { ...process.env, PATH },
  })
  t.equal(status, 0)
  t.notMatch(stderr, 'cgroup-oom', 'no complaint about it')
})
