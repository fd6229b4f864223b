// What a checkout, an image, an artifact store or a bundler does to the package's files: the error names
// the package's own file and what helps, and no group is touched. Each case is a copy of the built
// package, loaded into this process.
import { spawn as nodeSpawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import type * as Package from '../../../lib/index.js'
import { nativeFile } from '../../../lib/native/load.js'
import { bareEnv } from '../../helpers/bare-env.js'
import { isHeld, read } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

const NATIVE = dirname(nativeFile('cgroup_oom.node')!)
const PROGRAMS = ['oom-launcher', 'oom-guardian'] as const
const NODE = process.execPath

function temporary(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'cgroup-oom-package-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** The package as it is installed, with native files of its own. */
function install(dir: string): string {
  mkdirSync(join(dir, 'build/Release'), { recursive: true })
  cpSync('dist', join(dir, 'dist'), { recursive: true })
  copyFileSync('package.json', join(dir, 'package.json'))
  for (const name of ['cgroup_oom.node', ...PROGRAMS]) {
    copyFileSync(join(NATIVE, name), join(dir, 'build/Release', name))
  }
  return dir
}

const load = (dir: string): Promise<typeof Package> =>
  import(pathToFileURL(join(dir, 'dist/esm/lib/index.js')).href) as Promise<typeof Package>

interface Refusal {
  code?: string
  path?: string
  message: string
}

/** How spawn() and guard() fail in a group, which has to be as it was. */
async function failures(
  t: Test,
  lib: typeof Package,
): Promise<{ spawn: Refusal; guard: Refusal; events: string[] }> {
  const dir = scratch(t)
  const group = await lib.MemoryGroup.open(dir)
  t.teardown(() => group.close())
  const child = lib.spawn('true', [], { group, stdio: 'ignore' })
  const events: string[] = []
  let refusal: Refusal | undefined
  for (const event of ['spawn', 'exit']) child.on(event, () => events.push(event))
  child.on('error', error => ((refusal = error as Refusal), events.push('error')))
  await new Promise(resolve => child.on('close', resolve))
  events.push('close')
  const guarded = await group.guard({ delayMs: 1000 }).then(
    async guard => {
      await guard.dispose()
      return new Error('it was guarded')
    },
    (error: unknown) => error as Refusal,
  )
  t.notOk(isHeld(dir), 'the group is not touched')
  t.equal(read(dir, 'cgroup.procs'), '')
  return { spawn: refusal ?? { message: 'no error' }, guard: guarded, events }
}

/** Both programs are refused, each with its own name. */
async function refused(t: Test, dir: string, code: string, why: RegExp): Promise<void> {
  const lib = await load(dir)
  const { spawn, guard, events } = await failures(t, lib)
  t.strictSame(events, ['error', 'close'])
  const file = (name: string) => join(dir, 'build/Release', name)
  t.match(spawn, { name: 'OomError', code, path: file('oom-launcher'), message: why })
  t.match(guard, { name: 'OomError', code, path: file('oom-guardian'), message: why })
  const report = await lib.probe()
  t.match(report.spawn, { available: false, reason: file('oom-launcher') })
  t.match(report.guardian, { available: false, reason: file('oom-guardian') })
}

t.test('without execute permission the error has the remedy that helps', async t => {
  const dir = install(temporary(t))
  const files = PROGRAMS.map(name => join(dir, 'build/Release', name))
  for (const file of files) chmodSync(file, 0o644)
  await refused(t, dir, 'EACCES', /lost its execute permission.*chmod \+x/)
  const lib = await load(dir)
  const { remedy } = (await lib.probe()).spawn
  const command = /^chmod \+x '[^']+'/.exec(remedy!)![0]
  t.equal(spawnSync('sh', ['-c', command]).status, 0)
  chmodSync(files[1]!, 0o755)
  const group = await lib.MemoryGroup.open(scratch(t))
  const child = lib.spawn('sh', ['-c', 'exit 3'], { group, stdio: 'ignore' })
  t.strictSame(await once(child, 'exit'), [3, null])
  await (await group.guard({ delayMs: 1000 })).dispose()
  await group.close()
})

t.test('truncated, or of another architecture, or something else', async t => {
  const cut = install(temporary(t))
  for (const name of PROGRAMS) truncateSync(join(cut, 'build/Release', name), 5000)
  await refused(t, cut, 'ENOEXEC', /it is truncated.*install the package again/)

  const empty = install(temporary(t))
  for (const name of PROGRAMS) truncateSync(join(empty, 'build/Release', name), 0)
  await refused(t, empty, 'ENOEXEC', /it is empty/)

  const other = install(temporary(t))
  for (const name of PROGRAMS) {
    const file = join(other, 'build/Release', name)
    const bytes = readFileSync(file)
    bytes.writeUInt16LE(process.arch === 'arm64' ? 62 : 183, 18)
    writeFileSync(file, bytes)
  }
  await refused(t, other, 'ENOEXEC', /it is for (arm64|x64), and this is/)

  // A shell would run it, and end with 0.
  const text = install(temporary(t))
  for (const name of PROGRAMS) writeFileSync(join(text, 'build/Release', name), '# a pointer\n')
  await refused(t, text, 'ENOEXEC', /no ELF file/)
})

t.test('a program of another version is detected', async t => {
  const dir = install(temporary(t))
  const file = join(dir, 'build/Release/oom-launcher')
  copyFileSync(nodeTrue(), file)
  chmodSync(file, 0o755)
  const { spawn, events } = await failures(t, await load(dir))
  t.strictSame(events, ['error', 'close'], 'its status is not the command’s')
  t.match(spawn, {
    code: 'ERR_LAUNCHER_MISSING',
    path: file,
    message: /without starting the command/,
  })
})

/** A program that ends at once. */
function nodeTrue(): string {
  return ['/bin/true', '/usr/bin/true'].find(existsSync)!
}

t.test('a program that is missing has a code of its own', async t => {
  const dir = install(temporary(t))
  for (const name of PROGRAMS) rmSync(join(dir, 'build/Release', name))
  const { spawn, guard } = await failures(t, await load(dir))
  t.match(spawn, { code: 'ERR_LAUNCHER_MISSING', message: /oom-launcher.*is incomplete/ })
  t.match(guard, { code: 'ERR_GUARDIAN_MISSING', message: /oom-guardian.*is incomplete/ })
})

/** What probe() and the calls of the package print in a program of its own at `file`. */
async function printed(file: string): Promise<Record<string, string>> {
  const program = `
    const lib = await import(${JSON.stringify(pathToFileURL(file).href)})
    const { addon, memory } = await lib.probe()
    const code = await lib.MemoryGroup.open('.').then(group => group.close(), error => error.code)
    console.log(JSON.stringify({ ...addon, memory: memory.available, code }))`
  const child = nodeSpawn('env', [...bareEnv(), NODE, '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', data => (text += String(data)))
  await once(child, 'close')
  return JSON.parse(text) as Record<string, string>
}

t.test('an addon that cannot be loaded is explained', async t => {
  const cut = install(temporary(t))
  truncateSync(join(cut, 'build/Release/cgroup_oom.node'), 5000)
  t.match(await printed(join(cut, 'dist/esm/lib/index.js')), {
    available: false,
    reason: /cgroup_oom\.node: it is truncated/,
    remedy: /install the package again/,
    code: 'ERR_CGROUP_UNSUPPORTED',
  })

  const without = install(temporary(t))
  rmSync(join(without, 'build'), { recursive: true })
  t.match(await printed(join(without, 'dist/commonjs/lib/index.js')), {
    reason: /has no native files/,
    remedy: /prebuilds\/ too/,
    code: 'ERR_CGROUP_UNSUPPORTED',
  })
  mkdirSync(join(without, 'prebuilds/sunos-sparc'), { recursive: true })
  mkdirSync(join(without, 'prebuilds', `linux-${process.arch}`)) // the programs alone
  t.match(await printed(join(without, 'dist/esm/lib/index.js')), {
    reason: /no native files for linux-\S+-\S+, only for sunos-sparc/,
    remedy: /install the package on the platform where it runs/,
  })
})

t.test('bundled, the package reports what is missing beside it', async t => {
  const dir = temporary(t)
  writeFileSync(join(dir, 'package.json'), '{ "name": "my-app", "type": "module" }')
  cpSync('dist', join(dir, 'out'), { recursive: true })
  const bundle = join(dir, 'out/esm/lib/index.js')
  t.match(await printed(bundle), {
    reason: /seems to have been bundled/,
    remedy: /external in the bundler.*node_modules\/cgroup-oom/,
    code: 'ERR_CGROUP_UNSUPPORTED',
  })

  const installed = install(join(dir, 'node_modules/cgroup-oom'))
  const works = { available: true, memory: true }
  t.match(await printed(bundle), works, 'with the package beside it, it works')
  t.match(await printed(join(dir, 'out/commonjs/lib/index.js')), works)

  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as object
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ ...manifest, version: '99.0.0' }))
  t.match(await printed(bundle), {
    reason: /the bundled JavaScript is of cgroup-oom \S+, but .* is version 99\.0\.0/,
    remedy: /bundle again/,
    code: 'ERR_CGROUP_UNSUPPORTED',
  })
})

t.test('bundled as CommonJS: there is no import.meta.url', async t => {
  const dir = temporary(t)
  // What a bundler makes of the module that knows its own place.
  const source = readFileSync('dist/esm/lib/native/dirname.js', 'utf8')
  const file = join(dir, 'bundle.cjs')
  const text = source
    .replaceAll('import.meta.url', 'undefined')
    .replace(/import \{ ([^}]+) \} from '([^']+)'/g, (_, names: string, from: string) => {
      return `const { ${names.replaceAll(' as ', ': ')} } = require('${from}')`
    })
    .replace('export function', 'function')
    .replace('export const here', 'exports.here')
  writeFileSync(file, text)
  const { status, stdout } = spawnSync(NODE, ['-p', `require(${JSON.stringify(file)}).here`], {
    encoding: 'utf8',
    env: {},
  })
  t.equal(status, 0)
  t.equal(stdout.trim(), dir)
})
