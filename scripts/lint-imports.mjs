// The rooms of lib/: a file imports from its own room and from lower floors only, types count as well, and
// no files import each other in a circle. On top are the entry points alone.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { fail, files, root } from './run.mjs'

const floors = [
  ['types'],
  ['base'],
  ['native'],
  ['handle', 'protect'],
  ['watch', 'guard', 'place', 'metrics'],
  ['group', 'simulation'],
  ['spawn', 'primitives', 'probe'],
  ['exit'],
  ['job', 'budget'],
  ['cli'],
  ['the top'],
]
const entries = ['index.ts', 'primitives.ts', 'testing.ts', 'cli.ts']
const floorOf = new Map(floors.flatMap((rooms, floor) => rooms.map(room => [room, floor])))

function roomOf(file) {
  const [first, second, third] = file.split('/')
  if (first === 'types') return 'types'
  return third === undefined ? 'the top' : second
}

const faults = []
const all = ['types', 'lib'].flatMap(part => files(part, ['.ts', '.cts']))
const imports = new Map()
for (const file of all) {
  const room = roomOf(file)
  if (!floorOf.has(room)) faults.push(`${file}: ${room}/ is on no floor`)
  if (room === 'the top' && !entries.includes(file.slice('lib/'.length))) {
    faults.push(`${file}: is no entry point: it belongs into a room`)
  }
  const { importedFiles } = ts.preProcessFile(readFileSync(join(root, file), 'utf8'))
  const targets = importedFiles
    .map(({ fileName }) => fileName)
    .filter(name => name.startsWith('.'))
    .map(name => join(dirname(file), name.replace(/\.(c?)js$/, '.$1ts')))
  imports.set(file, targets)
  for (const target of targets) {
    const other = roomOf(target)
    if (other !== room && !(floorOf.get(other) < floorOf.get(room))) {
      faults.push(`${file}: ${target} is not below ${room}/`)
    }
  }
}

// Depth first: what is imported while it is on the way itself closes a circle.
const done = new Set()
function follow(file, way) {
  const start = way.indexOf(file)
  if (start >= 0) faults.push(`circle: ${[...way.slice(start), file].join(' → ')}`)
  if (start >= 0 || done.has(file)) return
  for (const target of imports.get(file) ?? []) follow(target, [...way, file])
  done.add(file)
}
for (const file of all) follow(file, [])

if (faults.length > 0) fail(faults.join('\n'))
console.log(`lib: ${floorOf.size} rooms on ${floors.length} floors, no import upwards, no circle`)
