// Removes the rules of native/core/rules and of the guardian's driver one by one, and demands that
// the unit tests or a simulation notice: tests that pass without a rule prove nothing about it.
//
//   node test/native/mutants.mjs [FILE…]   all, or those of files whose names contain FILE
//   node test/native/mutants.mjs --check   only whether the exceptions still stand in the sources
//
// A mutant is one statement that is left out, or one condition that never holds. All of them are
// compiled into one program at once, where the environment variable OOM_MUTANT chooses one.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const run = promisify(execFile)
const RULES = 'native/core/rules'
const DRIVER = 'native/guardian/guardian_group.cc'

// Files without rules, or whose rules are tried by tests against a model.
const LEFT_OUT = [
  'invariant.h',
  'config.h',
  'traits.h',
  'outcome.h',
  'reason.h',
  'sample.h',
  'timer.h',
]

// [file, the line as it stands there, why no test can notice]
const EXCEPTIONS = [
  ['episode.cc', 'check(now);', 'asserts only'],
  ['episode.cc', 'last_.stalls = {};', 'the same stalls, looked at once more, add nothing'],
  [
    'episode.cc',
    'if (phase_ != Phase::kKernel && phase_ != Phase::kFallingBack) return;',
    'without an episode nothing is ended so, and the next one that is ended sets its own',
  ],
  [
    'guardian_group.cc',
    'wait.fact = Fact::kSetDeadline;',
    'step() drives that fact first, and what may act then acts: it is the fact already',
  ],
  [
    'guardian_group.cc',
    '} else if (look < wake && look > now + kPollStep) {',
    'the sweep then runs among the deadlines: it costs them time, which shows with thousands of groups only',
  ],
]

// One line each, as clang-format lays them out. What goes over several lines is left alone.
const CONDITION = /^(\s*(?:\} else |else )?if \()(.+)(\) (?:\{|return\b.*;|[^{}]*;))$/
const STATEMENT = /^\s+(?:\*?this\s=|[\w.>[\]-]+(?:\s[|&+-]?=\s.*|\(.*\)|\+\+|--)|(?:\+\+|--)\w+);$/
const BEGINS = /(^\s*$|[;{}:]|^\s*\/\/.*)$/

const balanced = text => {
  let depth = 0
  for (const c of text) {
    if (c === '(') depth++
    if (c === ')' && --depth < 0) return false
  }
  return depth === 0
}

/** The text with each mutant in it, and what they are. */
function mutate(file, firstIndex) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n')
  const mutants = []
  let depth = 0
  const changed = lines.map((line, i) => {
    const inFunction = depth > 0
    const own = line.replace(/\/\/.*/, '')
    const begins = i === 0 || BEGINS.test(lines[i - 1])
    depth = Math.max(0, depth + own.split('{').length - own.split('}').length)
    if (!inFunction || !begins || line.includes('OOM_INVARIANT')) return line
    const index = firstIndex + mutants.length
    const condition = CONDITION.exec(own)
    if (condition && balanced(condition[2]) && !/[^=!<>]=[^=]|;/.test(condition[2])) {
      mutants.push({ index, file, line: i + 1, text: line.trim(), kind: 'never' })
      return `${condition[1]}oom_mutant != ${index} && (${condition[2]})${condition[3]}`
    }
    if (STATEMENT.test(own) && !/^\s+(return|break|continue|default|static_assert)\b/.test(own)) {
      mutants.push({ index, file, line: i + 1, text: line.trim(), kind: 'left out' })
      return `if (oom_mutant != ${index}) { ${own.trim()} }`
    }
    return line
  })
  const at = changed.findIndex(line => line.startsWith('#include'))
  changed.splice(at, 0, '#include "mutant.h"')
  return { text: changed.join('\n'), mutants }
}

const sources = [
  ...readdirSync(join(root, RULES))
    .filter(name => !LEFT_OUT.includes(name))
    .map(name => `${RULES}/${name}`),
  DRIVER,
]
const mutated = []
let count = 0
for (const file of sources) {
  const { text, mutants } = mutate(file, count + 1)
  count += mutants.length
  mutated.push({ file, text, mutants })
}
const all = mutated.flatMap(({ mutants }) => mutants)

for (const [file, text, why] of EXCEPTIONS) {
  const there = all.filter(m => basename(m.file) === file && m.text === text)
  if (there.length === 0 || !why) throw new Error(`${file} has no mutant '${text}'`)
  for (const mutant of there) mutant.excepted = true
}
const wanted = process.argv.slice(2)
if (wanted.includes('--check')) {
  console.log(`mutants: ${all.length}, ${EXCEPTIONS.length} exceptions`)
  process.exit(0)
}

const dir = mkdtempSync(join(tmpdir(), 'mutants-'))
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
mkdirSync(join(dir, 'core/rules'), { recursive: true })
mkdirSync(join(dir, 'guardian'))
writeFileSync(
  join(dir, 'mutant.h'),
  `#pragma once
#include <cstdlib>
inline const int oom_mutant = [] {
  const char* chosen = std::getenv("OOM_MUTANT");
  return chosen ? std::atoi(chosen) : 0;
}();
`,
)
for (const { file, text } of mutated) writeFileSync(join(dir, file.replace('native/', '')), text)

const flags = ['-std=c++20', '-O1', '-ffunction-sections', '-D_GNU_SOURCE', '-DOOM_INVARIANTS']
flags.push(`-I${dir}`, `-I${join(root, 'native')}`, `-I${join(root, 'test/native')}`)

async function inTurns(items, task) {
  const left = [...items]
  const results = []
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      for (let item; (item = left.shift()) !== undefined;) results.push(await task(item))
    }),
  )
  return results
}

let objects = 0
async function compile(file) {
  const from = mutated.some(m => m.file === file)
    ? join(dir, file.replace('native/', ''))
    : join(root, file)
  const object = join(dir, `${objects++}.o`)
  await run(process.env.CXX ?? 'g++', [...flags, '-c', from, '-o', object])
  return object
}
async function link(name, parts) {
  const program = join(dir, name)
  const args = [...parts, '-pthread', '-Wl,--gc-sections', '-o', program]
  await run(process.env.CXX ?? 'g++', args)
  return program
}

const shared = [
  ...sources.filter(file => file.endsWith('.cc')),
  'native/core/members/stopper.cc',
  'native/core/simulation/sim_group.cc',
  'native/core/simulation/sim_driver.cc',
  'native/core/simulation/sim_driver_steps.cc',
  'native/core/sentinel/sentinel.cc',
  'native/core/sys/small_file.cc',
  'native/core/sys/parse.cc',
  'native/core/prepared/thread.cc',
  'native/core/prepared/locked.cc',
  'native/core/prepared/mlock.cc',
  'native/core/prepared/image_ranges.cc',
]
const names = [
  'episode',
  'guardian_group',
  'guardian_calls',
  'hold_line',
  'signal_line',
  'stopper',
  'origin',
]
const units = [
  ...names,
  ...['clock', 'headroom', 'relief', 'kernel_turn', 'plan_cursor', 'switch', 'own_oom'],
  ...['turn', 'timer', 'presence', 'limits_v1', 'limits_v2', 'newest', 'share', 'stall_window'],
  ...['thrash', 'episode_thrash', 'episode_notes', 'kernel_kills', 'killing_fallback'],
].map(name => `test/native/${name}_test.cc`)

console.log(`${all.length} mutants in ${sources.length} files`)
const core = await inTurns(shared, compile)
// An archive, so that a test with a main() of its own keeps it.
const main = join(dir, 'main.a')
await run('ar', ['rcs', main, await compile('test/native/main.cc')])
const programs = [
  ...(await inTurns(units, async unit => ({
    name: basename(unit, '.cc'),
    program: await link(basename(unit, '.cc'), [await compile(unit), main, ...core]),
    args: [],
  }))),
  {
    name: 'episode_sim',
    program: await link('episode_sim', [await compile('test/native/episode_sim_test.cc'), ...core]),
    args: ['--schedules', '300000', '--failures', '1'],
  },
  {
    name: 'guardian_sim',
    program: await link('guardian_sim', [
      ...(await inTurns(
        [
          'test/native/guardian_sim_test.cc',
          'test/native/guardian_schedule.cc',
          'test/native/guardian_oracle.cc',
        ],
        compile,
      )),
      ...core,
    ]),
    args: ['--schedules', '200000', '--failures', '1'],
  },
]

// Seconds of processor time: a rule whose removal ends in a loop is found after them, and a busy machine
// finds nothing that is not there. Without a mutant, 0.1 and 10 are used.
const UNIT_SECONDS = 10
const SIMULATION_SECONDS = 120

/** Whether the program fails with the mutant: some never end, or take all memory. */
async function fails({ program, args }, index) {
  const seconds = args.length > 0 ? SIMULATION_SECONDS : UNIT_SECONDS
  const limits = `ulimit -v 4000000; ulimit -t ${seconds}; exec "$0" "$@"`
  const env = { ...process.env, OOM_MUTANT: String(index) }
  const options = { maxBuffer: 1 << 24, env }
  try {
    await run('sh', ['-c', limits, program, ...args], options)
    return false
  } catch {
    return true
  }
}

for (const program of programs) {
  if (await fails(program, 0)) throw new Error(`${program.name} fails without a mutant`)
}
const list = all.filter(m => wanted.length === 0 || wanted.some(name => m.file.includes(name)))
// The tests of one file's name first: most mutants need one program then.
const inOrder = mutant => {
  const own = `${basename(mutant.file).replace(/\.\w+$/, '')}_test`
  return [...programs].sort((a, b) => (b.name === own) - (a.name === own))
}
const noticed = new Map(programs.map(({ name }) => [name, 0]))
let survivors = 0
let wrong = 0
await inTurns(list, async mutant => {
  const text = `${mutant.file}:${mutant.line} (${mutant.kind}) ${mutant.text}`
  for (const program of inOrder(mutant)) {
    if (!(await fails(program, mutant.index))) continue
    noticed.set(program.name, noticed.get(program.name) + 1)
    if (!mutant.excepted) return
    wrong++
    return console.log(`NO EXCEPTION, ${program.name} notices it: ${text}`)
  }
  if (mutant.excepted) return
  survivors++
  console.log(`SURVIVES ${text}`)
})
for (const [name, count] of noticed) console.log(`${String(count).padStart(4)} noticed by ${name}`)
const excepted = list.filter(mutant => mutant.excepted).length
console.log(
  `${list.length} rules removed: ${list.length - survivors - excepted} found, ` +
    `${survivors} not, ${excepted} excepted`,
)
process.exitCode = survivors === 0 && wrong === 0 ? 0 : 1
