// groupOptions() with spawners of the npm registry, as docs/spawning.md shows them: what they start is in the
// group, and works as it does without.
// lab: left out: packages that npm run test:spawners fetches
// slow: left out: packages that npm run test:spawners fetches
import { spawn as plainSpawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { groupOptions } from '../../../lib/index.js'
import { compiled } from '../../helpers/compile.js'
import { openGroup } from '../../helpers/group.js'
import { groupOf, HIERARCHY, killsIn, MiB, mount } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

const cache = join(process.cwd(), '.cache/spawners')
const local = createRequire(join(cache, 'package.json'))
const has = (name: string) => existsSync(join(cache, 'node_modules', name))
const needs = (name: string) => ({
  skip: has(name) ? false : `npm run test:spawners fetches ${name}`,
})
// Their types are not here: they are no dependencies.
const load = async <T>(name: string) => (await import(pathToFileURL(local.resolve(name)).href)) as T

const lineOf = (dir: string) => `${HIERARCHY}${dir.slice(mount.length)}`
const WHERE = `require('fs').readFileSync('/proc/self/cgroup', 'utf8')`

t.test('execa', needs('execa'), async t => {
  type Result = { stdout: string; exitCode?: number; isTerminated?: boolean; signal?: string }
  type Execa = (file: string, args: string[], options?: object) => Promise<Result>
  const { execa } = await load<{ execa: Execa }>('execa')
  const dir = scratch(t)
  const { command, args } = groupOptions(await openGroup(t, dir))
  const { stdout } = await execa(command, [...args, 'cat', '/proc/self/cgroup'])
  t.match(stdout, lineOf(dir))
  t.equal((await execa(command, [...args, 'cat'], { input: 'piped' })).stdout, 'piped')
  await t.rejects(execa(command, [...args, 'sh', '-c', 'exit 3']), { exitCode: 3 } as never)
  const small = await openGroup(t, scratch(t, 4 * MiB))
  const other = groupOptions(small)
  const killed = execa(other.command, [...other.args, compiled('hog')], {
    input: `fill ${16 * MiB}\n`,
  })
  await t.rejects(killed, { isTerminated: true, signal: 'SIGKILL' } as never)
  t.equal(killsIn(small.path), 1)
})

t.test('jest-worker, by forkOptions', needs('jest-worker'), async t => {
  interface Farm {
    where(): Promise<{ cgroup: string; pid: number }>
    double(n: number): Promise<number>
    end(): Promise<{ forceExited: boolean }>
  }
  const { Worker } = local('jest-worker') as { Worker: new (file: string, options: object) => Farm }
  const dir = scratch(t)
  const { fork } = groupOptions(await openGroup(t, dir), { oomScoreAdj: 500 })
  const files = t.testdir({
    'task.cjs': `exports.double = n => 2 * n; exports.where = () => ({ pid: process.pid, cgroup: ${WHERE} })`,
  })
  const farm = new Worker(join(files, 'task.cjs'), {
    numWorkers: 2,
    exposedMethods: ['double', 'where'],
    forkOptions: { ...fork, env: {} },
  })
  t.same(await Promise.all([1, 2, 3].map(n => farm.double(n))), [2, 4, 6])
  const { cgroup, pid } = await farm.where()
  t.match(cgroup, lineOf(dir))
  t.equal(groupOf(pid), dir)
  t.same(await farm.end(), { forceExited: false })
})

t.test('tinypool with processes, by process.execPath', needs('tinypool'), async t => {
  interface Pool {
    run(task: unknown): Promise<{ cgroup: string; pid: number; doubled: number }>
    destroy(): Promise<void>
  }
  const { default: Tinypool } = await load<{ default: new (options: object) => Pool }>('tinypool')
  const dir = scratch(t)
  const { command, args } = groupOptions(await openGroup(t, dir))
  const files = t.testdir({
    'task.mjs': `import { readFileSync } from 'node:fs'
      export default n => ({ doubled: 2 * n, pid: process.pid, cgroup: readFileSync('/proc/self/cgroup', 'utf8') })`,
  })
  // It passes no execPath on: fork() takes the one of this process, while workers are made.
  const node = process.execPath
  process.execPath = command
  let pool: Pool
  try {
    pool = new Tinypool({
      filename: join(files, 'task.mjs'),
      runtime: 'child_process',
      minThreads: 2,
      maxThreads: 2,
      execArgv: [...args, node],
      env: {},
    })
  } finally {
    process.execPath = node
  }
  const results = await Promise.all([1, 2, 3, 4].map(n => pool.run(n)))
  t.same(
    results.map(result => result.doubled),
    [2, 4, 6, 8],
  )
  for (const { cgroup, pid } of results) {
    t.match(cgroup, lineOf(dir))
    t.equal(groupOf(pid), dir)
  }
  await pool.destroy()
})

t.test('node-pty', needs('node-pty'), async t => {
  interface Pty {
    pid: number
    onData(use: (data: string) => void): void
    onExit(use: (end: { exitCode: number }) => void): void
    write(text: string): void
    resize(columns: number, rows: number): void
  }
  type Start = (file: string, args: string[], options: object) => Pty
  const pty = local('node-pty') as { spawn: Start }
  const dir = scratch(t)
  const { command, args } = groupOptions(await openGroup(t, dir))
  const shell = pty.spawn(
    command,
    [...args, 'sh', '-c', 'tty; cat /proc/self/cgroup; read x; stty size; exit 5'],
    {
      cols: 80,
      rows: 30,
    },
  )
  let text = ''
  shell.onData(data => (text += data))
  const end = new Promise<{ exitCode: number }>(resolve => shell.onExit(resolve))
  while (!text.includes(lineOf(dir))) await new Promise(resolve => setTimeout(resolve, 5))
  t.match(text, /^\/dev\/pts\/\d+\r\n/)
  t.equal(groupOf(shell.pid), dir)
  shell.resize(100, 40)
  shell.write('x\r')
  t.match(await end, { exitCode: 5 })
  t.match(text, /40 100\r\n/)
})

const fetched = join(cache, 'usr/bin/bwrap')
const bwrap = existsSync(fetched) ? fetched : 'bwrap'
const SANDBOX = [
  '--ro-bind',
  '/',
  '/',
  '--dev',
  '/dev',
  '--unshare-pid',
  '--proc',
  '/proc',
  '--die-with-parent',
]
const sandboxed = spawnSync(bwrap, [...SANDBOX, 'true']).status === 0

t.test('bwrap', { skip: !sandboxed && 'no bwrap, or it may not make namespaces here' }, async t => {
  const dir = scratch(t, 16 * MiB)
  const { command, args } = groupOptions(await openGroup(t, dir))
  const child = plainSpawn(
    command,
    [...args, bwrap, ...SANDBOX, 'sh', '-c', 'echo $$; cat /proc/self/cgroup; touch /x'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let text = ''
  child.stdout.on('data', data => (text += String(data)))
  child.stderr.on('data', data => (text += String(data)))
  const [code] = (await once(child, 'close')) as [number]
  t.not(code, 0)
  // A pid of the sandbox, the group of outside, and the file system read-only.
  t.match(text, /^\d\n/)
  t.match(text, lineOf(dir))
  t.match(text, /Read-only file system/)
  const hog = plainSpawn(command, [...args, bwrap, ...SANDBOX, compiled('hog')], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  hog.stdin.on('error', () => {})
  hog.stdin.write(`fill ${64 * MiB}\n`)
  await once(hog, 'exit')
  t.ok(killsIn(dir) > 0, 'the limit holds in the sandbox')
})
