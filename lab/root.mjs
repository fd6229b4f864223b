// What a booted machine has as its root: a base (this machine's Node.js with its libraries, busybox,
// the static init), kept in the cache, and a small archive per run with the project and the command.
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { must, root } from '../scripts/run.mjs'
import { Archive } from './cpio.mjs'
import { addTests, buildPrograms, bundleOfTap } from './tests.mjs'

const BUSYBOX = 'bin/busybox'
// Of this machine, because busybox's are missing or take other options.
const TOOLS = ['prlimit', 'script', 'setpriv', 'strace', 'unshare'].map(name =>
  join('/usr/bin', name),
)
/** Where the project stands inside; init starts the command here. */
const PROJECT = 'project'
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n'

/** The libraries that a program needs, with its loader. */
async function libraries(program) {
  const list = await must('ldd', [program])
  return [...list.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm)].map(([, path]) => path)
}

async function makeBase(init, programs) {
  const archive = new Archive()
  for (const name of ['proc', 'sys', 'dev', 'tmp', 'root', PROJECT]) archive.directory(name)
  await must('cc', ['-O1', '-static', '-o', init, join(root, 'lab/init.c')])
  archive.program('init', init)
  rmSync(init)
  archive.file('etc/passwd', PASSWD)
  archive.file('etc/group', 'root:x:0:\nnogroup:x:65534:\n')
  for (const program of [process.execPath, ...TOOLS.filter(existsSync)]) {
    archive.program(join('usr/bin', basename(program)), program)
    for (const library of await libraries(program)) archive.program(library, library)
  }
  archive.program(BUSYBOX, join(programs, BUSYBOX))
  const applets = (await must(join(programs, BUSYBOX), ['--list'])).split('\n')
  for (const applet of applets.filter(name => name !== '' && name !== 'busybox')) {
    archive.link(`bin/${applet}`, 'busybox')
  }
  return archive.bytes()
}

/** The base archive's file, made again when Node.js or the init has changed. */
export async function base(cache, programs) {
  const inputs = [
    process.execPath,
    process.version,
    readFileSync(join(root, 'lab/init.c')),
    readFileSync(import.meta.filename),
  ]
  const digest = createHash('sha256').update(inputs.join('\0')).digest('hex').slice(0, 16)
  const file = join(cache, `base-${digest}.cpio`)
  if (existsSync(file)) return file
  console.error('lab: making the root file system …')
  mkdirSync(cache, { recursive: true })
  const mine = `${file}.part-${process.pid}`
  writeFileSync(mine, await makeBase(join(cache, `init.part-${process.pid}`), programs))
  // What is made of older inputs will not be used again.
  const older = readdirSync(cache).filter(name => /^base-\w+\.cpio$/.test(name))
  for (const name of older) rmSync(join(cache, name))
  renameSync(mine, file)
  return file
}

// Of the project: what runs, not what makes it, and what the tests of the documents read.
const PARTS = [
  'lab/guest.mjs',
  'package.json',
  'LICENSE',
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'docs',
  'dist',
  'examples',
  'lib',
  'native',
  'types',
  'test',
  'build/Release',
  'build/test',
]
const unwanted = /\/(obj|obj\.target|\.deps|native\/fuzz)$/

/** The archive of one run. */
export async function runArchive(cache, version, argv, env) {
  await buildPrograms()
  const archive = new Archive()
  addTests(archive, PROJECT, await bundleOfTap(cache))
  for (const part of PARTS) {
    const from = join(root, part)
    if (existsSync(from)) archive.copy(join(PROJECT, part), from, path => !unwanted.test(path))
  }
  const strings = list => list.map(text => `${text}\0`).join('')
  archive.file('lab/cgroup', strings([version]))
  archive.file('lab/argv', strings(argv))
  archive.file('lab/env', strings(Object.entries(env).map(([key, value]) => `${key}=${value}`)))
  return archive.bytes()
}
