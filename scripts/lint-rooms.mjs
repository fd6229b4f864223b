// The rooms of native/core (docs/architecture.md): a file includes from its own room and from lower
// floors only, rules/ stands on nothing of the system, and memcg/ alone names for writing what a
// guarded group is held by.
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fail, files, root } from './run.mjs'

const floors = [
  ['sys'],
  ['rules', 'prepared'],
  ['members'],
  ['memcg', 'tree', 'sentinel'],
  ['guardian_link', 'watch'],
  ['guard', 'simulation'],
]
const floorOf = new Map(floors.flatMap((rooms, floor) => rooms.map(room => [room, floor])))

// What rules may use besides the language: numbers and names.
const plain = ['core/sys/units.h', 'core/sys/status.h', 'core/sys/codes.h']
const ofTheLanguage = /^[a-z_]+$/
// The files that only memcg/ may write: naming one elsewhere is reading it, which watches do, or
// planning, which rules do.
const held = /"(memory\.(oom_control|high|max|limit_in_bytes)|cgroup\.freeze|freezer\.state)"/
const mayNameThem = ['memcg', 'rules', 'watch']

const faults = []
for (const file of files('native', ['.h', '.cc'])) {
  const core = file.startsWith('native/core/')
  const room = core ? basename(dirname(file)) : undefined
  const floor = core ? floorOf.get(room) : Infinity
  if (floor === undefined) {
    faults.push(`${file}: is in no room`)
    continue
  }
  readFileSync(join(root, file), 'utf8')
    .split('\n')
    .forEach((line, i) => {
      const at = `${file}:${i + 1}: `
      const [, own, other] = /^#include (?:"([^"]+)"|<([^>]+)>)/.exec(line) ?? []
      const target = own?.startsWith('core/') ? own.split('/')[1] : undefined
      if (core && own && target === undefined) faults.push(`${at}the core stands on nothing else`)
      if (core && target && target !== room && !(floorOf.get(target) < floor)) {
        faults.push(`${at}${target}/ is not below ${room}/`)
      }
      if (room === 'rules') {
        const allowed = own ? target === 'rules' || plain.includes(own) : ofTheLanguage.test(other)
        if ((own ?? other) && !allowed) faults.push(`${at}rules/ is pure`)
      }
      if (held.test(line) && !mayNameThem.includes(room)) {
        faults.push(`${at}memcg/ is the room that writes this file`)
      }
    })
}
if (faults.length > 0) fail(faults.join('\n'))
console.log(`rooms: ${floorOf.size} on ${floors.length} floors, no include upwards`)
