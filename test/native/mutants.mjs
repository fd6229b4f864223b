// Removes the rules of a source one by one and demands that a simulation notices, or else the unit
// tests, where there are some.
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const run = promisify(execFile)
const compiler = process.env.CXX ?? 'g++'
const flags = [
  '-std=c++20',
  '-O1',
  '-ffunction-sections',
  '-D_GNU_SOURCE',
  `-I${join(root, 'native')}`,
  `-I${join(root, 'test/native')}`,
]

/** How a test program ended: undefined if it passed. Some mutants never end, or take all memory. */
async function failure(program, args) {
  const limited = ['-c', 'ulimit -v 4000000; exec "$0" "$@"', program, ...args]
  try {
    await run('sh', limited, { timeout: 600_000, maxBuffer: 1 << 24 })
    return undefined
  } catch (error) {
    if (error.killed) return 'did not end'
    const line = String(error.stdout)
      .split('\n')
      .find(l => /seed \d+|ERROR/.test(l))
    return line?.trim() ?? String(error.signal ?? error.code)
  }
}

/**
 * @param {object} what
 * @param {string[]} what.sources the files that the rules are in
 * @param {[string, string, string][]} what.mutants name, what stands there, what stands there
 *   without the rule; each must match exactly once, in one of them
 * @param {string} what.schedules how many of them a rule must be found in
 * @param {string[]} what.simulation the sources of the simulation alone
 * @param {string[]} what.core what both need besides
 * @param {string[]} what.units the sources of the unit tests of `sources`
 */
export async function runMutants({ sources, mutants, schedules, simulation, core, units }) {
  const texts = sources.map(source => readFileSync(join(root, source), 'utf8'))
  const dir = mkdtempSync(join(tmpdir(), 'mutants-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))

  for (const [name, from] of mutants) {
    const matches = texts.reduce((sum, text) => sum + text.split(from).length - 1, 0)
    if (matches !== 1) throw new Error(`'${name}' matches ${matches} times`)
  }
  const wanted = process.argv.slice(2)
  // Whether the rules still are where the list says: cheap enough for every change.
  if (wanted.includes('--check')) return
  const list = mutants.filter(([name]) => wanted.length === 0 || wanted.includes(name))
  if (list.length === 0) throw new Error('no such mutant')

  // What is the same for all, once.
  const objects = files =>
    files.map(file => {
      const object = join(dir, `${basename(file)}.o`)
      execFileSync(compiler, [...flags, '-c', join(root, file), '-o', object], { stdio: 'inherit' })
      return object
    })
  const coreObjects = objects(core)
  const sound = objects(sources)
  const simObjects = [...objects(simulation), ...coreObjects]
  const unitObjects = [...objects(units), ...coreObjects]

  async function link(name, files) {
    const program = join(dir, name)
    await run(compiler, [...files, '-pthread', '-Wl,--gc-sections', '-o', program])
    return program
  }

  /** Who notices the mutant: 'simulation', 'unit tests' or undefined. */
  async function verdict(index, [, from, to]) {
    const file = join(dir, `mutant-${index}.cc`)
    const changed = texts.findIndex(text => text.includes(from))
    writeFileSync(file, texts[changed].split(from).join(to))
    await run(compiler, [...flags, '-c', file, '-o', `${file}.o`])
    const mutant = sound.with(changed, `${file}.o`)
    const sim = await link(`sim-${index}`, [...mutant, ...simObjects])
    const found = await failure(sim, ['--schedules', schedules, '--failures', '1'])
    if (found !== undefined) return ['simulation', found]
    if (units.length === 0) return undefined
    const unit = await failure(await link(`unit-${index}`, [...mutant, ...unitObjects]), [])
    return unit === undefined ? undefined : ['unit tests', unit]
  }

  const tally = { simulation: 0, 'unit tests': 0 }
  let next = 0
  let survivors = 0
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      while (next < list.length) {
        const index = next++
        const found = await verdict(index, list[index])
        if (found === undefined) survivors++
        else tally[found[0]]++
        console.log(
          `${found ? 'found   ' : 'SURVIVES'} ${list[index][0]}${found ? `: ${found.join(', ')}` : ''}`,
        )
      }
    }),
  )
  console.log(
    `${list.length} rules of ${sources.join(', ')} removed: ${tally.simulation} found by the simulation, ${tally['unit tests']} by the unit tests, ${survivors} by nobody`,
  )
  process.exitCode = survivors === 0 ? 0 : 1
}
