// Tries each target of the package by running it (test/runtimes/target.mjs) with the kernel of this
// machine: under its C library, with Node.js where there is one for it and with Bun's build for musl where
// not, arm64 by QEMU's emulation of the processor; and arm64 with a kernel of its own, in an emulated machine.
// Prints a table, and what cannot be tried here.
// `npm run test:targets [-- TARGET…]`
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fail, root, run, tableOf } from './run.mjs'
import { inArm64Machine } from './targets/arm64-machine.mjs'
import { builtTargets } from './targets/prebuilds.mjs'
import { BUN, NODE, bunOnMusl, nodeOnArm64, nodeOnGlibc231 } from './targets/runtimes.mjs'
import { cache, toolchain } from './targets/toolchain.mjs'

const CHECKS = [
  'load',
  'simulation',
  'lock',
  'lockProcess',
  'reserve',
  'guard',
  'launcher',
  'spawn',
]

const EMULATED = {
  lockProcess: 'a user namespace has no CAP_IPC_LOCK, and 100 MiB are too much',
  reserve: 'QEMU does not emulate mlock2(2)',
}

const TARGETS = [
  {
    target: 'linux-x64-glibc',
    where: `Node.js ${process.versions.node}, this machine's glibc`,
    command: () => [process.execPath],
  },
  {
    target: 'linux-x64-glibc',
    where: `Node.js ${NODE}, glibc 2.31 of Debian 11`,
    command: nodeOnGlibc231,
  },
  {
    target: 'linux-x64-musl',
    where: `Bun ${BUN}, musl 1.2.3`,
    command: () => bunOnMusl('x64'),
  },
  {
    target: 'linux-arm64-glibc',
    where: `Node.js ${NODE}, glibc 2.36, emulated`,
    command: nodeOnArm64,
    without: EMULATED,
  },
  ...['v1', 'v2'].map(version => ({
    target: 'linux-arm64-glibc',
    where: `Node.js ${NODE}, Linux 6.1 for arm64, cgroup ${version}`,
    run: (directory, checks) => inArm64Machine(directory, version, checks),
  })),
  {
    target: 'linux-arm64-musl',
    where: `Bun ${BUN}, musl 1.2.3, emulated`,
    command: () => bunOnMusl('arm64'),
    without: EMULATED,
  },
]

const NOT_HERE = [
  "Node.js on musl (Alpine's): neither npm nor Debian has one",
  'glibc 2.28 itself (RHEL 8, Debian 10): its packages are in no archive that is reached',
]

/** The package as it is installed. */
async function stage() {
  const directory = join(cache, 'package')
  rmSync(directory, { recursive: true, force: true })
  for (const name of ['dist', 'package.json']) {
    cpSync(join(root, name), join(directory, name), { recursive: true })
  }
  cpSync(await builtTargets(await toolchain()), join(directory, 'prebuilds'), { recursive: true })
  return directory
}

const directory = await stage()
const named = process.argv.slice(2)
const chosen = TARGETS.filter(({ target }) => named.length === 0 || named.includes(target))
const rows = []
const script = join(root, 'test/runtimes/target.mjs')
async function here(command, target, checks) {
  const [program, ...args] = await command()
  const all = [...args, script, directory, join(directory, 'prebuilds', target), ...checks]
  return (await run(program, all)).output
}
for (const { target, where, command, run: runThere, without = {} } of chosen) {
  const checks = CHECKS.filter(name => !(name in without))
  const output = await (runThere?.(directory, checks) ?? here(command, target, checks))
  const cells = CHECKS.map(name => {
    if (name in without) return '-'
    return output.split('\n').includes(`${name} ok`) ? 'ok' : 'FAILED'
  })
  if (cells.includes('FAILED')) console.error(`${target}, ${where}:\n${output}`)
  rows.push([target, where, ...cells])
  for (const [name, why] of Object.entries(without)) NOT_HERE.push(`${name} on ${where}: ${why}`)
}

const table = [['target', 'tried with', ...CHECKS], ...rows]
console.log(`\n${tableOf(table)}`)
console.log(`\nNot tried:\n${NOT_HERE.map(line => `  ${line}`).join('\n')}`)
const failed = rows.filter(row => row.includes('FAILED')).length
if (failed > 0) fail(`\n${failed} of ${rows.length} failed`)
