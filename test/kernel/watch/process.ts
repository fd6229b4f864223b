// Whole processes with watches open: what keeps them alive, how they end, workers, several copies of
// the package, the sentinel's thread.
// lab: left out: many Node.js processes, each of which takes seconds to start there
import t from 'tap'
import { rmdirSync } from 'node:fs'
import { MiB } from '../../helpers/memory-files.js'
import { child, scratch } from '../../helpers/scratch.js'
import { CLEAN, script } from '../../helpers/script.js'
import { compiled } from '../../helpers/compile.js'

const lines = (text: string): string[] => text.split('\n').filter(Boolean)

/** JavaScript that opens `dir` as `group` and has what else the scripts use. */
const start = (dir: string): string => `
  const dir = ${JSON.stringify(dir)}
  const group = await oom.MemoryGroup.open(dir)
  const { readdirSync, rmdirSync } = require('node:fs')
  const { execFileSync, spawn } = require('node:child_process')
  const { once } = require('node:events')
  const sentinels = () => readdirSync('/proc/self/task').filter(id => {
    try { return readFileSync('/proc/self/task/' + id + '/comm', 'utf8') === 'oom-sentinel\\n' } catch {}
  })
  const hog = async () => {
    const child = spawn(${JSON.stringify(compiled('hog'))}, [dir], { stdio: ['pipe', 'ignore', 'inherit'] })
    child.stdin.on('error', () => {}).write('fill ${64 * MiB}\\n')
    await once(child, 'exit')
  }
`

t.test('ref and unref', async t => {
  const dir = scratch(t)
  t.match(await script(`${start(dir)} group.watch().unref(); oom.watchTree(dir).unref()`), CLEAN)
  t.match(
    await script(
      `${start(dir)} const w = group.watch(); w.unref(); w.unref(); w.ref(); w.return()`,
    ),
    CLEAN,
  )
  // Only the watch is left: it stays until the removal, which is reported.
  const below = child(dir, 'below')
  const stays = await script(`${start(below)}
    const watch = group.watch()
    group.watch().unref()
    watch.next().then(({ value }) => console.log(value.type))
    // Once nothing else is left to do: 'beforeExit' would come, were it not for the watch.
    process.once('beforeExit', () => console.log('beforeExit'))
    setTimeout(() => execFileSync('rmdir', [dir]), 300).unref()
    setTimeout(() => {}, 0)
    watch.unref().ref()
  `)
  // The unref'd timer only fires if the loop is kept alive.
  t.match(stays, { ...CLEAN, stdout: 'removed\nbeforeExit\n' })
})

for (const [name, ending, code] of [
  ['process.exit()', 'process.exit(0)', 0],
  ['an uncaught throw', `setImmediate(() => { throw new Error('mine') })`, 1],
  [
    'a throw in a loop body',
    `(async () => { for await (const e of watch) throw new Error('mine') })(); hog()`,
    1,
  ],
  [
    'process.exit() in a loop body',
    `(async () => { for await (const e of watch) process.exit(0) })(); hog()`,
    0,
  ],
  ['a natural end', `watch.unref(); tree.unref()`, 0],
] as const) {
  t.test(`${name} with watches open`, async t => {
    const dir = scratch(t, 4 * MiB)
    for (let i = 0; i < 20; i++) child(dir, String(i))
    const {
      code: status,
      signal,
      stderr,
    } = await script(`${start(dir)}
      const watch = group.watch()
      const tree = oom.watchTree(dir)
      await tree.ready;
      ${ending}
    `)
    t.equal(signal, null)
    t.equal(status, code, stderr)
    if (code === 1) t.match(stderr, 'Error: mine')
  })
}

t.test('one sentinel, idle when nothing happens, gone with the last environment', async t => {
  const dir = scratch(t)
  for (let i = 0; i < 50; i++) child(dir, String(i))
  const result = await script(`${start(dir)}
    assert.equal(sentinels().length, 0, 'not before it is needed')
    const worker = new Worker(\`
      const oom = require(require('node:worker_threads').workerData + '/index.js')
      oom.MemoryGroup.open(\${JSON.stringify(dir)}).then(group => {
        group.watch()
        require('node:worker_threads').parentPort.postMessage('ready')
      })\`, { eval: true, workerData: DIST })
    await once(worker, 'message')
    const watch = group.watch().unref()
    const tree = oom.watchTree(dir).unref()
    await tree.ready
    assert.equal(sentinels().length, 1)
    const [id] = sentinels()
    const ticks = () => {
      const fields = readFileSync('/proc/self/task/' + id + '/stat', 'utf8').split(') ')[1].split(' ')
      return Number(fields[11]) + Number(fields[12])
    }
    const switches = () => Number(/^voluntary_ctxt_switches:\\s+(\\d+)/m.exec(readFileSync('/proc/self/task/' + id + '/status', 'utf8'))[1])
    const before = [ticks(), switches()]
    // The clock is what is tested: that time alone does not wake it.
    await new Promise(resolve => setTimeout(resolve, 1500))
    assert.deepEqual([ticks(), switches()], before, 'it has not even woken up')
    assert.equal(await worker.terminate(), 1)
    assert.equal(sentinels().length, 1, 'still needed here')
  `)
  t.match(result, CLEAN)
})

const inWorker = (code: string): string =>
  JSON.stringify(`
    const { parentPort, workerData } = require('node:worker_threads')
    const oom = require(workerData.dist + '/index.js')
    const main = async () => {
      const group = await oom.MemoryGroup.open(workerData.dir)
      const watch = group.watch()
      const tree = oom.watchTree(workerData.dir)
      await tree.ready;
      const first = watch.next()
      parentPort.postMessage('ready')
      ${code}
    }
    main()
  `)

t.test('workers: events, ends and terminate() in the middle of everything', async t => {
  const dir = scratch(t, 4 * MiB)
  child(dir, 'below')
  const result = await script(`${start(dir)}
    const many = async (code, each) => {
      const workers = Array.from({ length: 20 }, () => new Worker(code, { eval: true, workerData: { dist: DIST, dir } }))
      const exits = workers.map(async w => (await once(w, 'exit'))[0])
      await Promise.all(workers.map(w => once(w, 'message')))
      assert.equal(sentinels().length, 1)
      await each(workers)
      return Promise.all(exits)
    }
    const all = n => new Array(20).fill(n)
    assert.deepEqual(await many(${inWorker('watch.unref(); tree.unref(); void first')}, () => {}), all(0))
    assert.deepEqual(await many(${inWorker('')}, workers => workers.forEach(w => w.terminate())), all(1))
    assert.deepEqual(await many(${inWorker('process.exit(3)')}, () => {}), all(3))
    // Killed while events are on their way.
    assert.deepEqual(await many(${inWorker('for await (const e of watch);')}, async workers => {
      await Promise.all([hog(), ...workers.map(async (w, i) => {
        await new Promise(resolve => setTimeout(resolve, i))
        w.terminate()
      })])
    }), all(1))
    // And each gets them.
    assert.deepEqual(await many(
      ${inWorker(`const { value } = await first; process.exit(value.type === 'oom' && value.count === 1 ? 7 : 8)`)},
      async () => { await hog() }), all(7))
    assert.equal(sentinels().length, 0)
  `)
  t.match(result, CLEAN)
})

t.test('a worker can end while it scans a tree', async t => {
  const dir = scratch(t)
  for (let i = 0; i < 300; i++) child(dir, String(i))
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const oom = require(workerData.dist + '/index.js')
    oom.watchTree(workerData.dir)
    parentPort.postMessage('scanning')`
  const result = await script(`${start(dir)}
    for (let i = 0; i < 20; i++) {
      const worker = new Worker(${JSON.stringify(code)}, { eval: true, workerData: { dist: DIST, dir } })
      await once(worker, 'message')
      await new Promise(resolve => setTimeout(resolve, i % 7))
      assert.equal(await worker.terminate(), 1)
    }
    assert.equal(sentinels().length, 0)
  `)
  t.match(result, CLEAN)
})

t.test('ESM and CommonJS copies in one process', async t => {
  const dir = scratch(t, 4 * MiB)
  const result = await script(`${start(dir)}
    const esm = await import(DIST.replace('commonjs', 'esm') + '/index.js')
    assert.notEqual(esm.MemoryGroup, oom.MemoryGroup)
    const other = await esm.MemoryGroup.open(dir)
    const watches = [group.watch(), other.watch(), group.watch(), other.watch()]
    const gone = other.watch()
    gone.return()
    assert.equal(sentinels().length, 1)
    hog()
    for (const watch of watches) assert.equal((await watch.next()).value.type, 'oom')
    // The claim of one copy is not the other's to give up.
    for (const watch of watches.slice(1)) await watch.return()
    setTimeout(() => execFileSync('sh', ['-c', 'until rmdir $0 2>/dev/null; do sleep 0.01; done', dir]), 100).unref()
    let last
    for await (const event of watches[0]) last = event
    console.log(last.type)
  `)
  t.match(result, { ...CLEAN, stdout: 'removed\n' })
})

t.test('NODE_DEBUG=cgroup-oom', async t => {
  const dir = scratch(t)
  const result = await script(`
    process.env.NODE_DEBUG = ''
    const { execFileSync } = require('node:child_process')
    const code = \`require('\${DIST}/index.js').MemoryGroup.open('${dir}').then(g => { g.watch(); require('node:fs').rmdirSync('${dir}') })\`
    const { stderr } = require('node:child_process').spawnSync(process.execPath, ['-e', code],
      { env: { NODE_DEBUG: 'cgroup-oom' }, encoding: 'utf8' })
    console.log(stderr)
  `)
  t.match(lines(result.stdout)[0], /^CGROUP-OOM \d+: \{"type":"removed","group":"\//)
  t.throws(() => rmdirSync(dir))
})
