// The documents speak of files, of tests and of each other by name: what they name is there. Tests are
// named without their place below test/, so that they can be moved.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

const DOCS = [
  'README.md',
  ...readdirSync('docs')
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
]

const textOf = new Map(DOCS.map(doc => [doc, readFileSync(doc, 'utf8')]))
const proseOf = (text: string): string => text.replace(/^```[^]*?^```$/gm, '')
const spansOf = (text: string): string[] =>
  [...text.matchAll(/`([^`]+)`/g)].map(match => match[1]!.replace(/\s+/g, ' '))

/** The anchors of a document's headings, as GitHub makes them. */
const anchorsOf = (text: string): string[] =>
  [...proseOf(text).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )

// `guard-plan` is guard-plan.ts anywhere below test/, or guard/plan.ts.
const tests = new Set<string>()
for (const file of readdirSync('test', { recursive: true, encoding: 'utf8' })) {
  const path = /^(.*)\.(ts|cc|c|mjs)$/.exec(file)?.[1]!.split('/')
  for (let from = 0; path && from < path.length; from++) tests.add(path.slice(from).join('-'))
}
const NAME = /^[a-z][a-z0-9]*([-_][a-z0-9]+)*$/
const firstWords = new Set(readdirSync('test/kernel'))

const PATH = /^(native|lib|types|test|scripts|docs|examples|bench)\//
// Placeholders.
const NO_PATH = /[<*…]|NAME/

function pathsIn(text: string): string[] {
  const blocks = [...text.matchAll(/^```[^]*?^```$/gm)].map(match => match[0])
  return [...spansOf(proseOf(text)), ...blocks]
    .flatMap(span => span.split(/[\s,()]+/))
    .map(word => word.replace(/(:\d+|[.;:])$/, ''))
    .filter(word => PATH.test(word) && !NO_PATH.test(word))
}

// The lab runs the tests as JavaScript.
const isThere = (path: string): boolean =>
  existsSync(path) || (path.startsWith('test/') && existsSync(path.replace(/\.js$/, '.ts')))

interface Row {
  [column: string]: string
}

/** The rows of all tables, by the texts of their heads. */
function rowsOf(text: string): Row[] {
  const rows: Row[] = []
  let head: string[] | undefined
  for (const line of proseOf(text).split('\n')) {
    const cells = line.startsWith('|') ? line.slice(1, -1).split('|') : undefined
    if (cells === undefined) head = undefined
    else if (head === undefined) head = cells.map(cell => cell.trim())
    else if (!/^[\s|:-]+$/.test(line)) {
      rows.push(Object.fromEntries(head.map((name, i) => [name, cells[i]?.trim() ?? ''])))
    }
  }
  return rows
}

/** The places where a document names what tries it: there each plain name is a test's. */
function trials(text: string): string[] {
  const columns = rowsOf(text).flatMap(row =>
    Object.keys(row)
      .filter(name => /^(test|how it is tried.*)$/.test(name))
      .map(name => row[name]!),
  )
  const prose = [
    ...text.matchAll(/(How it is tried|Tried (in|by)|tried by)\b[^]*?(?=[.:]\s|, which|\n\n)/g),
  ]
  return [...columns, ...prose.map(match => match[0])]
}

for (const [doc, text] of textOf) {
  t.test(doc, async t => {
    const paths = [...new Set(pathsIn(text))]
    t.strictSame(
      paths.filter(path => !isThere(path)),
      [],
      `${paths.length} paths are there`,
    )

    const names = new Set(trials(text).flatMap(spansOf))
    for (const span of spansOf(proseOf(text))) {
      const first = /^([a-z]+)-/.exec(span)?.[1]
      if (/_(test|fuzz)$/.test(span) || firstWords.has(first ?? '')) names.add(span)
    }
    const named = [...names].filter(name => NAME.test(name))
    t.strictSame(
      named.filter(name => !tests.has(name)),
      [],
      `${named.length} names are of tests`,
    )

    const missing = [...proseOf(text).matchAll(/\]\((?!http)([^)#]*)(?:#([^)]*))?\)/g)].filter(
      ([, to, anchor]) => {
        const target = to === '' ? doc : join(dirname(doc), to!)
        if (!existsSync(target)) return true
        return anchor !== undefined && !anchorsOf(readFileSync(target, 'utf8')).includes(anchor)
      },
    )
    t.strictSame(
      missing.map(([link]) => link),
      [],
      'links lead somewhere',
    )
  })
}

t.test('what the README links to is in the package', async t => {
  const { files } = JSON.parse(readFileSync('package.json', 'utf8')) as { files: string[] }
  const packed = [...files, 'LICENSE'].map(
    name => new RegExp(`^${name.replaceAll('.', '\\.').replace('*', '[\\w-]+')}$`),
  )
  const links = [...textOf.get('README.md')!.matchAll(/\]\((?!http)([^)#]+)/g)].map(m => m[1]!)
  t.ok(links.length > 5)
  t.strictSame(
    links.filter(to => !packed.some(pattern => pattern.test(to))),
    [],
  )
})

t.test('the functions that are named as Class::name() are there', async t => {
  const files = readdirSync('native', { recursive: true, encoding: 'utf8' })
  const native = files
    .filter(file => /\.(h|cc)$/.test(file))
    .map(file => readFileSync(join('native', file), 'utf8'))
  const functions = [...textOf.values()].flatMap(text =>
    [...proseOf(text).matchAll(/`((\w+)::(\w+)\(\))`/g)].map(([, all, of, name]) => ({
      all: all!,
      of: new RegExp(`\\b(class|struct) (alignas\\(\\d+\\) )?${of}\\b`),
      name: new RegExp(`\\b${name}\\(`),
    })),
  )
  t.ok(functions.length > 20)
  const missing = functions.filter(
    ({ of, name }) => ![of, name].every(part => native.some(text => part.test(text))),
  )
  t.strictSame(
    missing.map(({ all }) => all),
    [],
  )
})

t.test('each room of the core is on its floor', async t => {
  const source = readFileSync('scripts/lint-rooms.mjs', 'utf8')
  const floors = /const floors = \[\n([^]*?)\n\]/.exec(source)![1]!.split('\n')
  const shown = rowsOf(textOf.get('docs/architecture.md')!)
    .filter(row => row['floor'] !== undefined)
    .map(row => `${row['floor']} ${row['room']}`)
  const rooms = readdirSync('native/core', { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(({ name }) => {
      const floor = floors.findIndex(line => line.includes(`'${name}'`)) + 1
      return `${floor} \`native/core/${name}/\``
    })
  t.ok(rooms.length > 5)
  t.strictSame(shown.sort(), rooms.sort())
})

t.test('each fact about the kernel has the place that relies on it, and a test', async t => {
  const facts = rowsOf(textOf.get('docs/kernel.md')!)
  t.ok(facts.length > 50)
  for (const { fact, test, 'relied on in': where } of facts) {
    t.ok(
      spansOf(where ?? '').some(span => PATH.test(span)),
      `${fact}: where`,
    )
    const held = spansOf(test ?? '').some(name => tests.has(name))
    t.ok(held || /^no test\b/.test(test ?? ''), `${fact}: which test`)
  }
})

t.test('each promise has what keeps it, what tries it, and where it ends', async t => {
  const sections = textOf.get('docs/guarantees.md')!.split(/^##+ /m)
  const promises = sections.filter(text => /\*\*(Kept|Tried) by\*\*/.test(text))
  t.ok(promises.length > 30)
  const bare = promises.filter(
    text => !/\*\*Kept by\*\*[^]*\*\*Tried by\*\*[^]*\*\*Ends where\*\*/.test(text),
  )
  t.strictSame(
    bare.map(text => text.split('\n')[0]),
    [],
  )
})
