// `node scripts/fuzz-corpus.mjs [KERNEL/VERSION…]`: makes the seeds of the fuzzers again (test/native/fuzz/corpus/<fuzzer>/,
// one small file for each input and kernel) from the kernels of the lab, in which the files are read
// from a group with one member. Files of both versions of the controller, where a kernel has them.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../lab/machine.mjs'
import { fail, root } from './run.mjs'

const ALL = ['5.10/v1', '5.10/v2', '6.1/v1', '6.1/v2', '6.12/v2', 'newest/v2']
const MACHINES = process.argv.length > 2 ? process.argv.slice(2) : ALL
const MOST = 4096 // bytes: what scripts/fuzz.mjs lets a fuzzer try

// What each fuzzer reads, as the guest's shell finds it: G is the group, P its member.
const INPUTS = {
  memory_events_fuzz: ['$G/memory.events', '$G/memory.events.local', '$G/cgroup.events'],
  fields_fuzz: ['$G/memory.stat', '$G/memory.events'],
  oom_control_fuzz: ['$G/memory.oom_control'],
  pids_fuzz: ['$G/cgroup.procs'],
  number_fuzz: ['$G/memory.max', '$G/memory.current', '$G/memory.limit_in_bytes'],
  psi_fuzz: ['$G/memory.pressure', '/proc/pressure/memory'],
  mountinfo_fuzz: ['/proc/$P/mountinfo'],
  proc_cgroup_fuzz: ['/proc/$P/cgroup'],
  proc_stat_fuzz: ['/proc/$P/stat'],
  statm_fuzz: ['/proc/$P/statm'],
  oom_score_adj_fuzz: ['/proc/$P/oom_score_adj'],
  maps_fuzz: ['/proc/$P/maps'],
  freezer_state_fuzz: ['/sys/fs/cgroup/freezer/freezer.state', '$F/freezer.state'],
}

// Each file comes as "== FUZZER NAME", its lines, and "==".
const reads = Object.entries(INPUTS).flatMap(([fuzzer, files]) =>
  files.map(file => {
    const name = file.replace(/^.*\//, '')
    return `if [ -e ${file} ]; then echo "== ${fuzzer} ${name}"; cat ${file}; echo; echo ==; fi`
  }),
)
const SCRIPT = [
  'M=$(awk \'$3 ~ /^cgroup/ && ($3 == "cgroup2" || $4 ~ /memory/) {print $2; exit}\' /proc/mounts)',
  'F=$(awk \'$3 == "cgroup" && $4 ~ /freezer/ {print $2; exit}\' /proc/mounts)/corpus',
  'G=$M/corpus; mkdir $G; mkdir -p $F 2>/dev/null',
  'sleep 60 & P=$!; echo $P > $G/cgroup.procs',
  ...reads,
  'kill $P; wait $P 2>/dev/null; exit 0',
].join('\n')

function* filesIn(text) {
  for (const [, fuzzer, name, body] of text.matchAll(/^== (\S+) (\S+)\n([^]*?)\n==$/gm)) {
    yield { fuzzer, name, body }
  }
}

try {
  const lab = new Lab()
  const corpus = join(root, 'test/native/fuzz/corpus')
  if (MACHINES === ALL) rmSync(corpus, { recursive: true, force: true })
  for (const machine of MACHINES) {
    const [wanted, version] = machine.split('/')
    const kernel = await lab.kernel(wanted)
    let text = ''
    const { status, console: log } = await lab.run({
      ...{ kernel, version, options: [], seconds: 300, memory: 1024 },
      ...{ argv: ['sh', '-c', SCRIPT], env: {}, output: data => (text += data) },
    })
    if (status !== 0) fail(`${machine} ended with ${status}\n${log}`)
    const number = /^\d+\.\d+/.exec(kernel.release)[0]
    let count = 0
    for (const { fuzzer, name, body } of filesIn(text.replaceAll('\r', ''))) {
      const directory = join(corpus, fuzzer)
      mkdirSync(directory, { recursive: true })
      const whole = body.endsWith('\n') ? body : `${body}\n`
      writeFileSync(join(directory, `${name}-${number}-${version}`), whole.slice(0, MOST))
      count++
    }
    console.log(`${machine}: ${kernel.release}, ${count} files`)
  }
} catch (error) {
  fail(`lab: ${error.message}`)
}
