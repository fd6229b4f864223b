// What the README and docs/guide.md show is what happens: their code is taken out of them and run against
// the real kernel.
import t, { type Test } from 'tap'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MiB, onV1, onV2, write } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

const root = process.cwd()
const PAGES = ['README.md', 'docs/guide.md', 'docs/containers.md', 'docs/signals.md']

interface Block {
  page: string
  line: number
  kind: string
  code: string
}

// The marker above a block decides how it is run. A `program` is run as it is, except for its group's name, which is put
// below a scratch group. A `fragment` gets `group` and the package's names; with `oom`, a job runs out of
// memory in the group again and again; with `v1`, it is run on that version only.
const blocks: Block[] = PAGES.flatMap(page => {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(/^(<!-- run: (.+) -->\n)?```js\n([^]*?)^```$/gm)].map(
    ({ index, 2: kind = '', 3: code }) => ({
      page,
      line: text.slice(0, index).split('\n').length,
      kind,
      code: code!,
    }),
  )
})

const NO_SWAP = { 'memory.memsw.limit_in_bytes': 64 * MiB, 'memory.swap.max': 0 }

const GREEDY = 'const held = []; setInterval(() => held.push(Buffer.alloc(1 << 20, 1)), 1)'

const prelude = (dir: string, oom: boolean) => `
  import { exitReport, lockMemory, MemoryBudget, MemoryGroup, MemoryReserve, probe, protect, run, spawn, watchServicePressure, watchTree } from 'cgroup-oom'
  const group = await MemoryGroup.open(${JSON.stringify(dir)})
  const again = () => {
    spawn(process.execPath, ['-e', ${JSON.stringify(GREEDY)}], { group, stdio: 'ignore' })
      .on('exit', again).unref()
  }
  ${oom ? 'again()' : ''}
`

/**
 * Runs a module in a directory of its own, inside of the package so that its name is known; `within`: the group that
 * it is in.
 */
async function run(t: Test, code: string, within?: string): Promise<string> {
  const cwd = t.testdir({ 'shown.mjs': code, 'build.js': GREEDY })
  const join = within === undefined ? 'exec "$@"' : `echo $$ > ${within}/cgroup.procs && exec "$@"`
  return new Promise(resolve => {
    execFile(
      'sh',
      [
        '-c',
        join,
        'sh',
        'env',
        '-u',
        'NODE_OPTIONS',
        '-u',
        'NODE_V8_COVERAGE',
        process.execPath,
        'shown.mjs',
      ],
      { cwd },
      (error, stdout, stderr) => {
        t.equal(stderr, '', 'nothing on stderr')
        t.error(error, 'ends well')
        resolve(stdout)
      },
    )
  })
}

t.ok(blocks.length > 10, `${blocks.length} blocks of code are shown`)
for (const page of PAGES)
  t.ok(
    blocks.some(block => block.page === page),
    `${page} shows code`,
  )
t.strictSame(
  blocks.filter(({ kind }) => !/^(program|fragment(, oom)?(, v[12])?)$/.test(kind)),
  [],
  'all of them are run',
)

for (const { page, line, kind, code } of blocks) {
  const marked = 'the block is marked so'
  const where = kind.endsWith('v1') ? onV1(marked) : kind.endsWith('v2') ? onV2(marked) : {}
  t.test(`${page}, line ${line}: ${kind}`, where, async t => {
    if (kind === 'program') {
      const dir = scratch(t)
      const out = await run(t, code.replace("'nightly'", JSON.stringify(join(dir, 'nightly'))), dir)
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

t.test('the options of guard() and the outcomes of an episode are all explained', async t => {
  const guide = readFileSync(join(root, 'docs/guide.md'), 'utf8')
  const types = (name: string) => readFileSync(join(root, 'types', `${name}.ts`), 'utf8')
  const options = /export interface GuardOptions \{([^]*?)\n\}/.exec(types('group'))![1]!
  for (const [, name] of options.matchAll(/^ {2}(\w+)\??:/gm)) {
    t.match(guide, new RegExp(`\`${name}\``), name!)
  }
  const outcomes = /export type Outcome =([^]*?)\n\n/.exec(types('guard'))![1]!
  for (const [, name] of outcomes.matchAll(/'([\w-]+)'/g)) t.match(guide, `\`${name}\``, name!)
})
