// cgroup-oom doctor: what this machine allows, which groups have been left with a disabled killer,
// and, on demand, a proof that the OOM path works here. But for that proof's own group it only reads.
import type { Capability, PlaceKind, ProbeNote, ProbeReport } from '../../types/probe.js'
import { groupPath } from '../base/args.js'
import { probe } from '../probe/probe.js'
import { checked, parse, type Command } from './command.js'
import { quote, shown, size } from './format.js'
import { heldGroups, holdersText, isOrphan, type HeldGroup } from './held-groups.js'
import { selfTest, type SelfTest, type Step } from './self-test.js'

const help = `Usage: cgroup-oom doctor [--in GROUP] [--self-test] [--json]

Prints in which kind of place this process is, with the one switch that would give it more; what the library
can do there, what it cannot, why, and what to do about it; what is worth knowing about its limits; then the
groups whose killer is disabled, and which live guardian or sentinel holds them. Changes nothing.

Options:
  --in GROUP   judge GROUP instead of the group that this process is in, and list groups with a disabled
               killer only there and below; default: everywhere
  --self-test  also fill a scratch group from the inside until it is starved, see that the native
               thread raises its limit and that JavaScript goes on, and name the first call that
               fails. The group is made below the group that you are in (v2: beside it),
               or below --in
  --json       the whole report as JSON
  --help       this text

Exit status: 0 no problems, 1 problems: addon, memory controller, guardian or locked memory is missing, groups can be
guarded here neither by the kernel's control files nor by signals, a killer is disabled in a group that no live
process holds, or the self-test failed; 2 usage.
`

// Groups cannot be guarded without these. If another one is missing, that is printed, but is no problem.
const NEEDED = ['addon', 'memory', 'guardian', 'lockOomPath'] as const

type Line = [field: string, capability: Capability]

function capabilities(report: ProbeReport): Line[] {
  return Object.entries(report).filter(
    (entry): entry is Line =>
      typeof entry[1] === 'object' && entry[1] !== null && 'available' in entry[1],
  )
}

const PLACES: Record<PlaceKind, string> = {
  delegated: 'root, or the owner of a delegated group',
  container: 'a container whose cgroup file system can be written',
  systemd: 'a session or unit of systemd that was not delegated',
  'read-only': 'a cgroup file system that cannot be written from here',
  none: 'no memory cgroups',
}

/** The place, what works there and the one switch that gives more; then what bounds this process. */
function placeLines({ place, bounds }: ProbeReport): string[] {
  const { kind, runtime, unit, works, more } = place
  const signs = [runtime, unit].filter(sign => sign !== null).join(', ')
  const { limit, limitedBy, heapLimit } = bounds
  const by = limitedBy === null ? '' : ` (${shown(limitedBy)})`
  return [
    `place: ${PLACES[kind]}${signs === '' ? '' : ` (${shown(signs)})`}`,
    `  works: ${shown(works)}`,
    ...(more === undefined ? [] : [`  → ${shown(more)}`]),
    `limit in effect: ${size(limit ?? Infinity)}${by}; heap limit of this Node.js: ${size(heapLimit)}`,
  ]
}

function noteLines(notes: readonly ProbeNote[]): string {
  if (notes.length === 0) return ''
  return `\nto know:\n${notes.map(({ reason, remedy }) => `  ${shown(reason)}\n    → ${shown(remedy)}\n`).join('')}`
}

function table(report: ProbeReport): string {
  const where =
    report.mount === null ? 'no memory cgroups' : `cgroup v${report.version} at ${report.mount}`
  const lines = [
    `${report.platform}-${report.arch}, kernel ${report.kernel || '-'}, ${where}`,
    `this process is in ${shown(report.self ?? 'no memory group that is visible')}`,
    ...(report.group === report.self ? [] : [`judged: ${shown(report.group ?? '')}`]),
    ...placeLines(report),
    '',
  ]
  const width = Math.max(...capabilities(report).map(([field]) => field.length))
  for (const [field, { available, reason, remedy }] of capabilities(report)) {
    lines.push(`${field.padEnd(width)}  ${available ? 'yes' : 'no '}  ${shown(reason)}`)
    if (remedy !== undefined) lines.push(`${' '.repeat(width)}       → ${shown(remedy)}`)
  }
  return `${lines.join('\n')}\n`
}

function describe(group: HeldGroup): string {
  const members = group.members.length === 0 ? 'none' : group.members.join(', ')
  const lines = [
    `  ${shown(group.path)}`,
    `    out of memory: ${group.underOom ? 'yes' : 'no'}; members: ${members}; held by: ${holdersText(group)}`,
  ]
  if (isOrphan(group)) lines.push(`    → cgroup-oom rescue ${quote(group.path)}`)
  return `${lines.join('\n')}\n`
}

const stepLine = ({ name, ok, detail }: Step): string =>
  `  ${ok ? 'OK    ' : 'FAILED'}  ${name}${detail === '' ? '' : `: ${detail}`}\n`

function problemsOf(report: ProbeReport, groups: readonly HeldGroup[], test?: SelfTest): string[] {
  const missing = NEEDED.filter(field => !report[field].available)
  const problems = missing.map(field => `${field}: ${shown(report[field].reason)}`)
  const { memory, guard, guardBySignals } = report
  if (memory.available && !guard.available && !guardBySignals.available) {
    problems.push(
      `guard: ${shown(guard.reason)}`,
      `guardBySignals: ${shown(guardBySignals.reason)}`,
    )
  }
  for (const group of groups.filter(isOrphan)) {
    problems.push(`${shown(group.path)}: its killer is disabled, held by: ${holdersText(group)}`)
  }
  if (test?.failed) problems.push(`self-test: ${test.failed.step}: ${test.failed.call}`)
  return problems
}

/** The directories in which to search for groups. */
function placeOf(within: string | undefined, { mount, group }: ProbeReport): string[] {
  const place = within === undefined ? mount : group
  return place === null ? [] : [place]
}

async function run(args: string[]): Promise<number> {
  const { values } = parse({
    args,
    options: {
      in: { type: 'string' },
      json: { type: 'boolean' },
      'self-test': { type: 'boolean' },
    },
  })
  const within = checked(() => (values.in === undefined ? undefined : groupPath('--in', values.in)))
  const print = (text: string) => {
    if (values.json !== true) process.stdout.write(text)
  }

  const report = await probe(within === undefined ? {} : { in: within })
  const groups = await heldGroups(placeOf(within, report), { recursive: true })
  print(table(report))
  print(noteLines(report.notes))
  print(`\ngroups whose killer is disabled:${groups.length === 0 ? ' none' : ''}\n`)
  for (const group of groups) print(describe(group))

  let test: SelfTest | undefined
  if (values['self-test'] === true) {
    print('\nself-test\n')
    test = await selfTest(within, step => print(stepLine(step)))
  }
  const problems = problemsOf(report, groups, test)
  if (values.json === true) {
    const { failed, steps } = test ?? {}
    const json = {
      probe: report,
      groups,
      ...(test ? { selfTest: { ok: !failed, failed, steps } } : {}),
      problems,
    }
    process.stdout.write(`${JSON.stringify(json, null, 2)}\n`)
  }
  print(
    problems.length === 0
      ? '\nno problems\n'
      : `\nproblems:\n${problems.map(p => `  ${p}\n`).join('')}`,
  )
  return problems.length === 0 ? 0 : 1
}

export const doctor: Command = {
  name: 'doctor',
  summary: 'print what works on this machine, and groups that no live process holds',
  help,
  run,
}
