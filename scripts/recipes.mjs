// The programs of docs/recipes.md with what they are about: packages from the npm registry, and Debian's programs where
// this machine does not have them, into .cache/recipes; then test/kernel/docs/recipes.ts. Not part of `npm test`,
// which runs the recipes that need neither: it downloads. `npm run test:recipes [-- OPTION…]`
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Apt } from '../lab/apt.mjs'
import { fail, must, root } from './run.mjs'

const PACKAGES = {
  bullmq: '6.7.0',
  execa: '9.6.1',
  fastify: '5.12.8',
  ioredis: '5.11.1',
  jest: '30.5.2',
  'jest-runner': '30.5.2',
  'puppeteer-core': '24.43.1',
  vitest: '4.1.12',
  yaml: '2.9.1',
}
// A program, and the package that has it.
const PROGRAMS = {
  bwrap: 'bubblewrap',
  chromium: 'chromium',
  ffmpeg: 'ffmpeg',
  'redis-server': 'redis-server',
  'systemd-analyze': 'systemd',
}
const cache = join(root, '.cache/recipes')

async function packages() {
  const key = JSON.stringify(PACKAGES)
  const stamp = join(cache, 'packages.json')
  if (existsSync(stamp) && spawnSync('cmp', ['-s', stamp, '-'], { input: key }).status === 0) return
  console.error(`recipes: fetching ${Object.keys(PACKAGES).join(', ')} …`)
  rmSync(join(cache, 'node_modules'), { recursive: true, force: true })
  const names = Object.entries(PACKAGES).map(([name, version]) => `${name}@${version}`)
  const options = ['--prefix', cache, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts']
  await must('npm', ['install', ...options, ...names])
  // The package of this clone, as it would be installed.
  symlinkSync(root, join(cache, 'node_modules/cgroup-oom'))
  writeFileSync(stamp, key)
}

const here = name => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0

/** The directories with libraries: some of Debian's have their own, which the installation would link. */
function libraries(top) {
  const found = readdirSync(top, { recursive: true, withFileTypes: true })
    .filter(entry => /\.so(\.|$)/.test(entry.name))
    .map(entry => entry.parentPath)
  return [...new Set(found)]
}

/** Unpacks what is missing with all that it needs but the C library, which is this machine's. */
async function unpack(names) {
  const top = join(cache, 'debian')
  const apt = new Apt(join(cache, 'apt'))
  const archives = join(apt.home, 'archives')
  console.error(`recipes: fetching ${names.join(', ')} …`)
  for (const directory of [top, join(cache, 'bin')]) {
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory)
  }
  await apt.unpackAll(
    names.map(name => PROGRAMS[name]),
    top,
  )
  const ofC = readdirSync(archives).find(file => file.startsWith('libc6_'))
  const list = await must('dpkg-deb', ['-c', join(archives, ofC)])
  for (const [, file] of list.matchAll(/ \.(\/lib\S*\.so\S*)/g))
    rmSync(join(top, file), { force: true })
  rmSync(archives, { recursive: true })
  const path = libraries(top).join(':')
  for (const name of names) {
    const file = ['usr/lib/chromium/chromium', `usr/bin/${name}`, `bin/${name}`]
      .filter(one => one.endsWith(`/${name}`))
      .map(one => join(top, one))
      .find(one => existsSync(one))
    if (file === undefined) fail(`${PROGRAMS[name]} has no ${name}`)
    const wrapper = join(cache, 'bin', name)
    const lines = ['#!/bin/sh', `export LD_LIBRARY_PATH='${path}'`, `exec '${file}' "$@"`, '']
    writeFileSync(wrapper, lines.join('\n'))
    chmodSync(wrapper, 0o755)
  }
}

mkdirSync(cache, { recursive: true })
await packages()
const missing = Object.keys(PROGRAMS).filter(name => !here(name))
const unpacked = name => existsSync(join(cache, 'bin', name))
// Where there is no such archive, their recipes are skipped.
if (!missing.every(unpacked)) {
  await unpack(missing).catch(error => console.error(`recipes: ${error.message}`))
}
const { status } = spawnSync(
  process.execPath,
  [join(root, 'scripts/test.mjs'), 'test/kernel/docs/recipes.ts', ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit' },
)
process.exitCode = status ?? 1
