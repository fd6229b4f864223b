// Runs test/kernel/ under other kernels, one boot for each kernel and version of the memory controller,
// and prints one table: node scripts/lab-test.mjs [options] [file…]
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Lab } from './lab/machine.mjs'
import { results } from './tap.mjs'
import { fail, files } from './run.mjs'

/** Debian's kernels have the v1 controller up to 6.1. */
const MATRIX = ['5.10/v1', '5.10/v2', '6.1/v1', '6.1/v2', '6.12/v2', 'newest/v2']

// Left out under emulation unless --all asks for them, with the reason. A new file takes part.
const LEFT_OUT = {
  'cli/run':
    'dozens of Node.js processes, each of which takes seconds to start there: four minutes',
  'docs/cli': 'the same; and of one kernel',
  'cli/self-test': 'the same',
  'cli/watch': 'the same',
  'cli/cli': 'the same: four minutes',
  'docs/examples': 'the same: three minutes',
  'guard/life': 'the same',
  'protect/lock': 'the same',
  'protect/mlockall': 'the same; about Node.js, not about the kernel',
  'spawn/spawn': 'the same; against child_process',
  'spawn/args': 'arguments, checked before the kernel is asked',
  'watch/process': 'the same as cli',
}

// What --short runs: what differs from kernel to kernel, in a minute or two for each.
const SHORT = {
  v1: [
    'facts/v1',
    'group/limits',
    'group/remove',
    'guard/guard',
    'watch/register-event',
    'watch/usage',
  ],
  v2: ['facts/v2', 'group/v2', 'guard/v2', 'watch/pressure', 'watch/v2'],
  // On one kernel only.
  '6.1/v2': ['facts/environments', 'guard/swap-v2'],
}

// What is about a kernel that was told something: run in a machine of its own for each of these.
const APART = [
  { name: 'facts/kernel-options', versions: ['v1', 'v2'], options: ['cgroup_disable=memory'] },
  // Later kernels take no notice of it on v2.
  { name: 'facts/kernel-options', versions: ['v2'], kernels: ['5.10'], options: ['swapaccount=0'] },
  // Our own: memory.use_hierarchy as the kernel leaves it.
  { name: 'facts/kernel-options', versions: ['v1'], kernels: ['5.10'], options: ['lab.flat'] },
]

const HELP = `npm run test:lab -- [options] [file…]

Runs the files (test/kernel/*.ts by default, but for those that LEFT_OUT names) under each kernel and prints one table. Needs no
privileges; fails when a test fails. A kernel that Debian's archive does not have any more is told in the
table.

  -a, --all                     all files
  -s, --short                   only the files that SHORT names for the version
  -k, --kernel KERNEL/VERSION   this one only, as 6.1/v1; may be given again (${MATRIX.join(', ')})
  -j, --jobs N                  files at once in a machine (2)
  -t, --timeout SECONDS         for each file (600)
  -b, --boot SECONDS            for each machine (3600)
  -v, --verbose                 reasons of skipped tests, time of each file
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string', short: 'k', multiple: true, default: MATRIX },
    all: { type: 'boolean', short: 'a' },
    short: { type: 'boolean', short: 's' },
    jobs: { type: 'string', short: 'j', default: '2' },
    timeout: { type: 'string', short: 't', default: '600' },
    boot: { type: 'string', short: 'b', default: '3600' },
    verbose: { type: 'boolean', short: 'v' },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help) {
  console.log(HELP)
  process.exit()
}
const entries = values.kernel.map(entry => entry.split('/'))
if (entries.some(([, version]) => !['v1', 'v2'].includes(version))) fail(HELP)
const unknown = positionals.filter(file => !existsSync(file))
if (unknown.length > 0) fail(`no such file: ${unknown.join(', ')}`)
const nameOf = file => file.replace(/^test\/kernel\/|\.[jt]s$/g, '')
const usual = files('test/kernel', ['.ts']).filter(
  file => values.all || !(nameOf(file) in LEFT_OUT),
)
function chosenFor(wanted, version) {
  const names = [...SHORT[version], ...(SHORT[`${wanted}/${version}`] ?? [])]
  const short = values.short ? names.map(name => `test/kernel/${name}.ts`) : usual
  return (positionals.length > 0 ? positionals : short).map(file => file.replace(/ts$/, 'js'))
}
/** Which machines it takes: the files of each, and the options of its kernel. */
function machinesFor(wanted, version) {
  const chosen = chosenFor(wanted, version)
  const apart = APART.filter(({ versions, kernels = [wanted] }) => {
    return versions.includes(version) && kernels.includes(wanted)
  }).flatMap(({ name, options }) => {
    return chosen.filter(file => nameOf(file) === name).map(file => ({ files: [file], options }))
  })
  const together = chosen.filter(file => !APART.some(({ name }) => name === nameOf(file)))
  return together.length > 0 ? [{ files: together, options: [] }, ...apart] : apart
}

/** Prints what failed, as it comes. */
function report(where, result, { seconds, output }) {
  if (values.verbose) {
    console.log(`${where} ${nameOf(result.file)} ${seconds.toFixed(1)} s`)
    for (const line of result.why) console.log(`  ${line}`)
  }
  if (result.failed === 0) return
  console.log(`\n${where} ${result.file}: ${result.reasons.join('; ')}\n${output.trimEnd()}\n`)
}

async function runEntry(lab, [wanted, version]) {
  let kernel
  try {
    kernel = await lab.kernel(wanted)
  } catch (error) {
    console.log(`${wanted}: ${error.message}`)
    return { wanted, version, missing: true }
  }
  const where = `${wanted}/${version}`
  console.log(`== ${where}: ${kernel.release}`)
  const began = Date.now()
  let again = 0
  const told = []
  for (const { files, options } of machinesFor(wanted, version)) {
    const machine = { lab, kernel, version, options, where: [where, ...options].join(' ') }
    const first = await boot(machine, files)
    // Emulated time jumps: a file that fails is run again, alone, and the table says so.
    const failed = first.filter(result => result.failed > 0).map(({ file }) => file)
    told.push(...first.filter(({ file }) => !failed.includes(file)))
    if (failed.length === 0) continue
    again += failed.length
    console.log(`${machine.where}: once more, alone: ${failed.join(' ')}`)
    told.push(...(await boot(machine, failed, '1')))
  }
  const sum = key => told.reduce((total, result) => total + result[key], 0)
  const seconds = (Date.now() - began) / 1000
  return {
    ...{ wanted, version, release: kernel.release, seconds, again },
    ...{ passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') },
  }
}

/** One boot: the result of each file; one that did not run counts as failed. */
async function boot({ lab, kernel, version, options, where }, chosen, jobs = values.jobs) {
  const told = []
  let text = ''
  const { status, console: log } = await lab.run({
    kernel,
    version,
    options,
    argv: ['node', 'scripts/lab/guest.mjs', jobs, values.timeout, ...chosen],
    env: { TAP_TIMEOUT: values.timeout },
    seconds: Number(values.boot),
    output: data => {
      text += data
      for (let end; (end = text.indexOf('\n')) >= 0; text = text.slice(end + 1)) {
        const line = JSON.parse(text.slice(0, end))
        const result = results(line)
        told.push(result)
        report(where, result, line)
      }
    },
  })
  const missing = chosen.filter(file => !told.some(result => result.file === file))
  if (status !== 0 || missing.length > 0) {
    console.log(`${where}: the machine ended with ${status}; not run: ${missing.join(' ')}\n${log}`)
  }
  return [...told, ...missing.map(file => ({ file, passed: 0, failed: 1, skipped: 0 }))]
}

function row(cells) {
  const [kernel, version, ...rest] = cells.map(String)
  return [kernel.padEnd(24), version.padEnd(7), ...rest.map(cell => cell.padStart(7))].join(' ')
}

try {
  const lab = new Lab()
  const rows = []
  for (const entry of entries) rows.push(await runEntry(lab, entry))
  console.log(`\n${row(['kernel', 'version', 'passed', 'failed', 'skipped', 'again', 'seconds'])}`)
  for (const r of rows) {
    if (r.missing) console.log(`${row([r.wanted, r.version])} not to be had`)
    else
      console.log(
        row([r.release, r.version, r.passed, r.failed, r.skipped, r.again, Math.round(r.seconds)]),
      )
  }
  if (rows.every(r => r.missing)) fail('no kernel was to be had')
  process.exitCode = rows.some(r => r.failed > 0) ? 1 : 0
} catch (error) {
  fail(`lab: ${error.message}`)
}
