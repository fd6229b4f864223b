// `npm run bench -- race`: bench/race.ts for each contender, one after the other, and the tables of
// docs/performance.md from the results, which bench/race.json keeps with --keep.
//
// The kernel and this library on v1 run on this machine; all others, and both on v2, each in a machine of its own
// in the lab. The daemons are Debian's packages: fetched here, unpacked into .cache/race/, and never installed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { Archive } from '../lab/cpio.mjs'
import { Lab } from '../lab/machine.mjs'
import { addPackages, addUnit, optionsFor, SYSTEMD, unpacked } from '../lab/systemd.mjs'
import { RACE, writeFigures } from './figures.mjs'
import { fail, must, root } from './run.mjs'

const KERNEL = '6.1'
const MEMORY = 1536
const SECONDS = 2400
const cache = join(root, '.cache/race')
const PROGRAM = 'build/bench/native/race-static'

/** What each needs of Debian. Without an entry: nothing. */
const PACKAGES = {
  earlyoom: ['earlyoom'],
  nohang: ['nohang'],
  oomd: ['oomd'],
  'systemd-oomd': ['systemd-oomd', ...SYSTEMD],
}
const CONTENDERS = ['kernel', 'library', ...Object.keys(PACKAGES)]

// systemd as process 1: it starts systemd-oomd as Debian's unit has it, and then the measurement.
function addMeasurement(archive, part) {
  addUnit(archive, 'race', {
    unit: ['Wants=systemd-oomd.service', 'After=systemd-oomd.service'],
    service: ['OOMScoreAdjust=-1000', 'Slice=race.slice'],
    users: [['systemd-oom', 101]],
    env: {
      OOM_RACE_CONTENDER: 'systemd-oomd',
      OOM_RACE_PROGRAM: `/project/${PROGRAM}`,
      OOM_RACE_PART: part,
      OOM_RACE_ROUNDS: process.env.OOM_RACE_ROUNDS ?? '3',
    },
    script: `/bin/systemctl --no-pager status systemd-oomd.service | /bin/busybox head -n 30
/usr/bin/oomctl dump 2>&1 | /bin/busybox head -n 40
/usr/bin/node bench/race.js`,
  })
}

/** What the measurement prints: what it costs when idle, and how each round went. */
function figures(output) {
  const found = [...output.matchAll(/ figures: (\{.*\})/g)].map(([, text]) => JSON.parse(text))
  const idle = found.find(one => 'idle' in one)
  const outcomes = found.filter(one => 'scenario' in one)
  return { ...idle, ...(outcomes.length > 0 ? { outcomes } : {}) }
}

async function onThisMachine(contender) {
  const output = await must(process.execPath, ['build/bench/bench/race.js'], {
    env: { ...process.env, OOM_RACE_CONTENDER: contender },
  })
  console.log(output)
  const kernel = release().replace(/-.*/, '')
  return { contender, cgroup: 'v1', kernel, where: 'host', ...figures(output) }
}

async function boot(lab, kernel, contender, part, directory) {
  const archive = new Archive()
  if (contender === 'systemd-oomd') addMeasurement(archive, part)
  if (directory) addPackages(archive, directory)
  archive.program(join('project', PROGRAM), join(root, PROGRAM))
  let output = ''
  const { status, console: log } = await lab.run({
    kernel,
    version: 'v2',
    argv: ['/usr/bin/node', 'bench/race.js'],
    env: {
      OOM_RACE_CONTENDER: contender,
      OOM_RACE_PROGRAM: join('/project', PROGRAM),
      OOM_RACE_PART: part,
      OOM_RACE_ROUNDS: process.env.OOM_RACE_ROUNDS ?? '3',
    },
    seconds: SECONDS,
    memory: MEMORY,
    archive: archive.bytes(),
    // Processor time is instructions there: it does not depend on what this machine does besides.
    counted: part === 'idle',
    options: contender === 'systemd-oomd' ? optionsFor('race') : [],
    output: data => {
      output += data
      process.stdout.write(data)
    },
  })
  if (status !== 0) {
    console.error(`${contender}, ${part}: ${status}\n${log}`)
    process.exitCode = 1
  }
  return figures(output)
}

async function inLab(lab, contender) {
  const packages = PACKAGES[contender]
  const { directory, version } = packages ? await unpacked(cache, contender, packages) : {}
  const kernel = await lab.kernel(KERNEL)
  const about = { contender, version, cgroup: 'v2', kernel: kernel.release ?? KERNEL, where: 'lab' }
  const parts = process.env.OOM_RACE_PART ? [process.env.OOM_RACE_PART] : ['idle', 'scenarios']
  let found = {}
  for (const part of contender === 'kernel' ? ['scenarios'] : parts) {
    found = { ...found, ...(await boot(lab, kernel, contender, part, directory)) }
  }
  return { ...about, ...found }
}

// What has been measured so far, so that one contender can be measured again by itself.
const SO_FAR = join(root, 'build/bench/race.json')
const recorded = () => (existsSync(SO_FAR) ? JSON.parse(readFileSync(SO_FAR, 'utf8')) : [])

function record(result) {
  const other = one => one.contender !== result.contender || one.cgroup !== result.cgroup
  const before = recorded().find(one => !other(one))
  const place = ({ contender, cgroup }) =>
    CONTENDERS.indexOf(contender) + (cgroup === 'v1' ? 0 : 0.5)
  const all = [...recorded().filter(other), { ...before, ...result }].sort(
    (a, b) => place(a) - place(b),
  )
  writeFileSync(SO_FAR, JSON.stringify(all, null, 2))
}

const keep = process.argv.includes('--keep')
const names = process.argv.slice(2).filter(name => name !== '--keep')
const unknown = names.find(name => !CONTENDERS.includes(name))
if (unknown) fail(`no such contender: ${unknown} (there are: ${CONTENDERS.join(', ')})`)

try {
  await must('mkdir', ['-p', 'build/bench/native'])
  const flags = ['-O2', '-static', '-D_GNU_SOURCE', '-o', PROGRAM]
  await must('cc', [...flags, 'bench/native/race.c'])
  const lab = new Lab()
  const wanted = names.length > 0 ? names : CONTENDERS
  const node = `Node.js ${process.versions.node}`
  const machine = `Linux ${release().replace(/-.*/, '')}, ${cpus().length} processors, ${node}`
  const emulated = (await lab.kernel(KERNEL)).release ?? KERNEL
  const about = `Linux ${emulated}, 2 emulated processors, ${MEMORY} MiB, ${node}`
  for (const contender of wanted) {
    if (!PACKAGES[contender] && existsSync('/sys/fs/cgroup/memory/memory.oom_control')) {
      record(await onThisMachine(contender))
    }
    record(await inLab(lab, contender))
  }
  const results = recorded()
  if (keep && process.exitCode !== 1) {
    writeFileSync(RACE, `${JSON.stringify({ machine, lab: about, results }, null, 2)}\n`)
    writeFigures()
  }
} catch (error) {
  fail(`race: ${error.message}`)
}
