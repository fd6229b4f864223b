// Other runtimes and versions, from the npm registry into .cache/runtimes: what the package is used for
// (test/runtimes/uses.mjs), and on Node.js what made a bare mlockall() abort it (stress.mjs), several times on
// each. Prints a table; docs/platforms.md has its last one. Not part of `npm test`: it downloads.
//
//   npm run test:runtimes [-- RUNS [NAME…]]     NAME: node20, node22, node24, node26, bun, deno
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fromNpm } from './from-npm.mjs'
import { fail, root } from './run.mjs'

const x64 = process.arch === 'x64'
const node = version => ({
  label: `Node.js ${version}`,
  version,
  module: `node-linux-${process.arch}`,
  binary: 'bin/node',
})
const RUNTIMES = {
  node20: node('20.20.2'),
  node22: node('22.23.3'),
  node24: node('24.21.0'),
  node26: node('26.10.0'),
  bun: {
    label: 'Bun 1.4.5',
    version: '1.4.5',
    module: `@oven/bun-linux-${x64 ? 'x64' : 'aarch64'}`,
    binary: 'bin/bun',
  },
  deno: {
    label: 'Deno 2.9.6',
    version: '2.9.6',
    module: `@deno/linux-${x64 ? 'x64' : 'arm64'}-glibc`,
    binary: 'deno',
    args: ['run', '-A'],
  },
}
const STRESS = ['none', 'oom-path', 'process', 'reserve', 'primitives']
const MOST_MS = 120_000

const [runs = '5', ...names] = process.argv.slice(2)
const chosen = names.length > 0 ? names : Object.keys(RUNTIMES)
const unknown = chosen.filter(name => RUNTIMES[name] === undefined)
if (!(Number(runs) > 0) || unknown.length > 0) {
  fail(`usage: npm run test:runtimes [-- RUNS [NAME…]], NAME: ${Object.keys(RUNTIMES).join(', ')}`)
}

const script = name => join(root, 'test/runtimes', name)
const { MemoryGroup } = await import(join(root, 'dist/esm/lib/index.js'))
const uses = spawnSync(process.execPath, [script('uses.mjs')], { encoding: 'utf8' })
  .stdout.trim()
  .split(' ')

/** How many of the runs came to their end by themselves; what else happened is printed. */
function clean(label, [command, ...args]) {
  let count = 0
  for (let run = 0; run < Number(runs); run++) {
    const options = { encoding: 'utf8', timeout: MOST_MS, killSignal: 'SIGKILL' }
    const { status, signal, stdout, stderr } = spawnSync(command, args, options)
    if (status === 0 && stdout.endsWith('done\n')) count++
    else console.error(`${label}: status ${status}, signal ${signal}\n${stderr}`)
  }
  return count
}

const place = `cgroup-oom-test-${process.pid}`
const group = await MemoryGroup.create(place)
const rows = []
try {
  for (const name of chosen) {
    const runtime = RUNTIMES[name]
    const { version, module, binary, args: before = [] } = runtime
    const here = name.startsWith('node') && version === process.versions.node
    const command = [here ? process.execPath : await fromNpm(module, version, binary), ...before]
    const list = [
      ...uses.map(use => [use, script('uses.mjs'), use, place]),
      ...(name.startsWith('node') ? STRESS : []).map(kind => [
        `stress ${kind}`,
        script('stress.mjs'),
        kind,
      ]),
    ]
    for (const [use, ...args] of list) {
      const count = clean(`${runtime.label} ${use}`, [...command, ...args])
      rows.push({ label: runtime.label, use, count })
      console.log(`${runtime.label.padEnd(16)} ${use.padEnd(16)} ${count} of ${runs} clean`)
    }
  }
} finally {
  await group.remove({ kill: true })
}

console.log(`\n${'runtime'.padEnd(16)} clean ends`)
for (const name of chosen) {
  const own = rows.filter(({ label }) => label === RUNTIMES[name].label)
  const sum = own.reduce((total, { count }) => total + count, 0)
  const bad = own.filter(({ count }) => count < Number(runs)).map(({ use }) => use)
  const of = `${sum} of ${own.length * Number(runs)}`
  console.log(
    `${RUNTIMES[name].label.padEnd(16)} ${of}${bad.length > 0 ? `: ${bad.join(', ')}` : ''}`,
  )
}
process.exitCode = rows.every(({ count }) => count === Number(runs)) ? 0 : 1
