// What the README shows is what happens: its code is taken out of it and run against the real kernel,
// and its error codes are those of the source.
import t, { type Test } from 'tap'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { MiB, onV1, write } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

const root = process.cwd()
const readme = readFileSync(join(root, 'README.md'), 'utf8')

interface Block {
  line: number
  kind: string
  code: string
}

// A marker says how: a `program` stands for itself but for its group's name, which is put below a
// scratch group; a `fragment` is given `group` and the package's names; with `oom`, a job that runs
// out of memory, again and again; with `v1`, what no other version has.
const blocks: Block[] = [...readme.matchAll(/^(<!-- run: (.+) -->\n)?```js\n([^]*?)^```$/gm)].map(
  ({ index, 2: kind = '', 3: code }) => ({
    line: readme.slice(0, index).split('\n').length,
    kind,
    code: code!,
  }),
)

const NO_SWAP = { 'memory.memsw.limit_in_bytes': 64 * MiB, 'memory.swap.max': 0 }

const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)'

const prelude = (dir: string, oom: boolean) => `
  import { lockMemory, MemoryGroup, MemoryReserve, probe, protect, spawn, watchServicePressure, watchTree } from 'cgroup-oom'
  const group = await MemoryGroup.open(${JSON.stringify(dir)})
  const again = () => {
    spawn(process.execPath, ['-e', ${JSON.stringify(GREEDY)}], { group, stdio: 'ignore' })
      .on('exit', again).unref()
  }
  ${oom ? 'again()' : ''}
`

/** Runs a module in a directory of its own, inside of the package so that its name is known. */
async function run(t: Test, code: string): Promise<string> {
  const cwd = t.testdir({ 'shown.mjs': code, 'build.js': GREEDY })
  return new Promise(resolve => {
    execFile(
      'env',
      ['-u', 'NODE_OPTIONS', '-u', 'NODE_V8_COVERAGE', process.execPath, 'shown.mjs'],
      { cwd },
      (error, stdout, stderr) => {
        t.equal(stderr, '', 'nothing on stderr')
        t.error(error, 'ends well')
        resolve(stdout)
      },
    )
  })
}

t.ok(blocks.length > 5, 'the README shows code')
t.strictSame(
  blocks.filter(({ kind }) => !/^(program|fragment(, oom)?(, v1)?)$/.test(kind)),
  [],
  'all of which is run',
)

for (const { line, kind, code } of blocks) {
  const where = kind.endsWith('v1') ? onV1('it says so') : {}
  t.test(`line ${line}: ${kind}`, where, async t => {
    if (kind === 'program') {
      const dir = scratch(t)
      const out = await run(t, code.replace("'nightly'", JSON.stringify(join(dir, 'nightly'))))
      t.notOk(existsSync(join(dir, 'nightly')), 'it removes what it makes')
      if (code.includes('guard.dispose()) // ends')) {
        const [first, raised, second, killed] = out.split('\n')
        t.match(first, /^out of memory: \d+ of 67108864 bytes$/)
        t.equal(raised, 'limit-raised []')
        t.match(second, /^out of memory: \d+ of 100663296 bytes$/)
        t.match(killed, /^killed \[ \d+ \]$/)
      }
      return
    }
    const dir = scratch(t, 64 * MiB)
    for (const [file, bytes] of Object.entries(NO_SWAP)) {
      if (existsSync(join(dir, file))) write(dir, file, bytes)
    }
    const out = await run(
      t,
      `${prelude(dir, kind.includes('oom'))}\n${code}\nconsole.log('to the end')\nprocess.exit()`,
    )
    t.match(out, /to the end\n$/)
    if (code.includes('console.log')) t.not(out, 'to the end\n', 'it prints something')
  })
}

/** All matches of the pattern's first group in the files below some directories. */
function found(directories: string[], pattern: RegExp): string[] {
  const names = new Set<string>()
  for (const directory of directories) {
    for (const file of readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|cc|h)$/.test(file)) continue
      const text = readFileSync(join(root, directory, file), 'utf8')
      for (const [, name] of text.matchAll(pattern)) names.add(name!)
    }
  }
  return [...names].sort()
}

t.test('every code of our own is in the table, and no other', async t => {
  const rows = readme.split('\n').filter(line => /^\| `(ERR_|ABORT_|E[A-Z])/.test(line))
  const table = rows.flatMap(row => [...row.split('|')[1]!.matchAll(/`(\w+)`/g)].map(m => m[1]!))
  t.equal(new Set(table).size, table.length, 'each once')
  t.strictSame(
    table.filter(code => code.startsWith('ERR_')).sort(),
    found(['lib', 'native'], /\b(ERR_[A-Z_]+)\b/g),
  )
})

t.test('its links lead somewhere, its options and actions exist', async t => {
  for (const [, to] of readme.matchAll(/\]\((?!http)([^)#]+)\)/g)) {
    t.ok(existsSync(join(root, to!)), to!)
  }
  const types = (name: string) => readFileSync(join(root, 'types', `${name}.ts`), 'utf8')
  const options = /export interface GuardOptions \{([^]*?)\n\}/.exec(types('group'))![1]!
  for (const [, name] of options.matchAll(/^ {2}(\w+)\??:/gm)) {
    if (name !== 'hold') t.match(readme, new RegExp(`\`${name}\``), name!)
  }
  const outcomes = /export type Outcome =([^]*?)\n\n/.exec(types('guard'))![1]!
  for (const [, name] of outcomes.matchAll(/'([\w-]+)'/g)) t.match(readme, `\`${name}\``, name!)
})
