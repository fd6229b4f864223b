// Several copies of the package's JavaScript in one process: an ES module imports it, a CommonJS one
// requires it (both with one addon), and the test runner has its own. Groups, errors and what protect()
// has set are common to them. Another installation has an addon of its own, and is refused.
import { once } from 'node:events'
import { cpSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import * as own from '../../../lib/index.js'
import * as ownPrimitives from '../../../lib/primitives.js'
import { nativeFile } from '../../../lib/native/load.js'
import { hogIn } from '../../helpers/hog.js'
import { HIERARCHY, MiB, mount, onV1 } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

const require = createRequire(import.meta.url)
const at = (dialect: string, name: string) => join(process.cwd(), `dist/${dialect}/lib/${name}.js`)
const cjs = require(at('commonjs', 'index')) as typeof own
const esm = (await import(pathToFileURL(at('esm', 'index')).href)) as typeof own
const cjsPrimitives = require(at('commonjs', 'primitives')) as typeof ownPrimitives

const copies = { own, esm, cjs }
type Name = keyof typeof copies
const pairs = (['own', 'esm', 'cjs'] as Name[]).flatMap(a =>
  (['own', 'esm', 'cjs'] as Name[]).filter(b => b !== a).map(b => [a, b] as const),
)

t.test('the copies have classes of their own', async t => {
  t.not(own.MemoryGroup, esm.MemoryGroup)
  t.not(esm.MemoryGroup, cjs.MemoryGroup)
})

for (const [maker, user] of pairs) {
  t.test(`a group of ${maker}, used by ${user}`, async t => {
    const dir = scratch(t, 16 * MiB)
    const to = scratch(t)
    const made = await copies[maker].MemoryGroup.open(to)
    const group = await copies[user].MemoryGroup.open(dir)
    t.teardown(async () => Promise.all([made.close(), group.close()]))
    t.ok(made instanceof copies[user].MemoryGroup)
    t.notOk({} instanceof copies[user].MemoryGroup)

    const child = copies[user].spawn('cat', ['/proc/self/cgroup'], { group: made })
    let text = ''
    child.stdout.on('data', data => (text += String(data)))
    await once(child, 'close')
    const line = text.split('\n').find(one => one.includes(HIERARCHY))
    t.equal(line?.split(':')[2], to.slice(mount.length), 'spawn')

    const guard = await group.guard({ delayMs: 60_000, guardian: { group: made } })
    t.teardown(() => guard.dispose())
    const hog = await hogIn(t, dir)
    hog.fill(24 * MiB).catch(() => {})
    for await (const episode of guard) {
      await episode.move(hog.pid, made)
      break
    }
    t.strictSame(await made.pids().then(pids => pids.includes(hog.pid)), true, 'moved')
    await hog.end()
    await guard.dispose()
    await made.close()
    t.throws(() => copies[user].spawn('true', { group: made }), { code: 'ERR_CLOSED' })
  })

  t.test(`an error of ${maker}, seen by ${user}`, async t => {
    const error = await copies[maker].MemoryGroup.open(join(scratch(t), 'none')).catch(
      (error: unknown) => error,
    )
    t.ok(error instanceof copies[user].OomError)
    t.notOk(new Error('x') instanceof copies[user].OomError)
    t.notOk((null as unknown) instanceof copies[user].OomError)
  })
}

t.test('a class that extends one of them is its own', async t => {
  class Special extends cjs.OomError {}
  t.ok(new Special('X', 'x') instanceof Special)
  t.ok(new Special('X', 'x') instanceof esm.OomError)
  t.notOk(new cjs.OomError('X', 'x') instanceof Special)
})

t.test('an object that only pretends to be a group is refused', async t => {
  const forged = { [Symbol.for('cgroup-oom.MemoryGroup')]: () => ({ handle: {}, version: '9' }) }
  t.throws(() => own.spawn('true', { group: forged as never }), { code: 'ERR_OTHER_COPY' })
  const group = await own.MemoryGroup.open(scratch(t))
  t.teardown(() => group.close())
  for (const bad of [{}, { add: () => {} }, null]) {
    await t.rejects(group.guard({ delayMs: 1, guardian: { group: bad as never } }), {
      code: 'ERR_INVALID_ARG_TYPE',
    })
  }
})

t.test('protect(): one process has one score, in all copies', async t => {
  const score = () => Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))
  const found = score()
  const first = await esm.protect({ oomScoreAdj: 300 })
  const second = await cjs.protect({ oomScoreAdj: 400 })
  await first()
  t.equal(score(), 400, 'the last one not undone counts')
  const group = await own.MemoryGroup.open(scratch(t))
  const child = own.spawn('cat', ['/proc/self/oom_score_adj'], { group })
  let text = ''
  child.stdout.on('data', data => (text += String(data)))
  await once(child, 'close')
  await group.close()
  t.equal(Number(text), found)
  await second()
  t.equal(score(), found)
})

t.test('an EventFd of the other copy can be used', onV1('cgroup.event_control'), async t => {
  const eventFd = new cjsPrimitives.EventFd()
  t.teardown(() => eventFd.close())
  t.ok(eventFd instanceof ownPrimitives.EventFd)
  const group = await cjs.MemoryGroup.open(scratch(t))
  t.teardown(() => group.close())
  await ownPrimitives.registerEvent(group, 'memory.oom_control', eventFd)
})

t.test('another installation: a clear error, and no handle of its addon is touched', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'cgroup-oom-copy-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  cpSync('dist', join(dir, 'dist'), { recursive: true })
  copyFileSync('package.json', join(dir, 'package.json'))
  mkdirSync(join(dir, 'build'))
  cpSync(dirname(nativeFile('cgroup_oom.node')!), join(dir, 'build/Release'), {
    recursive: true,
    filter: name => !/obj|\.deps/.test(name),
  })
  const other = (await import(pathToFileURL(join(dir, 'dist/esm/lib/index.js')).href)) as typeof own
  const group = await other.MemoryGroup.open(scratch(t, 16 * MiB))
  t.teardown(() => group.close())
  t.ok(group instanceof own.MemoryGroup)
  const refused = { name: 'OomError', code: 'ERR_OTHER_COPY', message: /npm dedupe/ }
  t.throws(() => own.spawn('true', { group }), refused)
  const mine = await own.MemoryGroup.open(scratch(t))
  t.teardown(() => mine.close())
  await t.rejects(mine.guard({ delayMs: 1000, guardian: { group } }), refused)
  await t.rejects(mine.guard({ delayMs: 1000, guardian: { group } }), { message: dir })
  await t.rejects(mine.guard({ delayMs: 1000, guardian: { group } }), {
    message: /version \d+\.\d+\.\d+/,
  })
  t.ok((await group.usage()) >= 0, 'it works by itself')
})
