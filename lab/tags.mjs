// The tags in a test's first lines, which decide where it runs, each with its reason where it has one:
//
//   // lab: left out: REASON           not under emulation, unless --all or its name is given
//   // lab: short on v1, 6.1/v2        one of the few that --short runs, on these machines
//   // lab: with OPTION on v1, 5.10/v2 only in machines of its own, whose kernel is given the option
//   // slow: left out: REASON          not by npm run test:slow
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, root } from '../scripts/run.mjs'

// "v1" is each machine with that version, "5.10/v1" one of them.
const covers = (list, machine) =>
  list.split(/,\s*/).some(one => one === machine || machine.endsWith(`/${one}`))

export function tagsOf(file) {
  const tags = { leftOut: undefined, slowLeftOut: undefined, needsOption: false }
  const short = []
  const options = []
  for (const line of readFileSync(join(root, file), 'utf8').split('\n')) {
    if (!line.startsWith('//')) break
    const [, kind, text] = /^\/\/ (lab|slow): (.*)$/.exec(line) ?? []
    if (kind === undefined) continue
    const [, reason] = /^left out: (.+)$/.exec(text) ?? []
    const [, on] = /^short on (.+)$/.exec(text) ?? []
    const [, option, where] = /^with (\S+) on ([^(]+?)(?: \(.*\))?$/.exec(text) ?? []
    if (reason) tags[kind === 'lab' ? 'leftOut' : 'slowLeftOut'] = reason
    else if (kind === 'lab' && on) short.push(on)
    else if (kind === 'lab' && option) options.push([option, where])
    else fail(`${file}: not a tag: ${line}`)
  }
  return {
    ...tags,
    needsOption: options.length > 0,
    short: machine => short.some(list => covers(list, machine)),
    options: machine => options.filter(([, list]) => covers(list, machine)).map(([o]) => o),
  }
}
