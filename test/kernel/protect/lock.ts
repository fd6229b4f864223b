// lab: left out: many Node.js processes, each of which takes seconds to start there
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { binding } from '../../../lib/native/addon.js'
import { lockMemory, MemoryReserve } from '../../../lib/index.js'
import { MiB } from '../../helpers/memory-files.js'
import { CLEAN, script } from '../../helpers/script.js'

/** Whether a process may be started with that RLIMIT_MEMLOCK. */
const mayRaise = (bytes: number): boolean =>
  spawnSync('prlimit', [`--memlock=${bytes}:${bytes}`, 'true']).status === 0
const locked = (): number => binding().memlockNumbers().locked

t.test('oom-path locks little memory, counts locks, and unlocks', async t => {
  const before = locked()
  const one = lockMemory()
  t.match(one, { scope: 'oom-path' })
  t.ok(one.bytes > 256 * 1024 && one.bytes < 8 * MiB, `${one.bytes}`)
  t.equal(locked() - before, one.bytes)
  const two = lockMemory({ scope: 'oom-path' })
  t.equal(locked() - before, one.bytes)
  one.release()
  one.release()
  t.equal(locked() - before, one.bytes, 'still held by the other')
  two[Symbol.dispose]()
  t.equal(locked(), before)
})

t.test('process: program, libraries, heap and stack; what others hold stays', async t => {
  const before = locked()
  const path = lockMemory()
  const reserve = new MemoryReserve(MiB)
  const all = lockMemory({ scope: 'process' })
  t.equal(all.scope, 'process')
  t.ok(all.bytes > 32 * MiB, `${all.bytes}`)
  t.ok(locked() - before >= all.bytes)
  all.release()
  t.equal(locked() - before, path.bytes + reserve.bytes)
  t.equal(reserve.release(), MiB)
  path.release()
  reserve.close()
  t.equal(locked(), before)
})

t.test('everything of the program is resident, nothing of what V8 manages is locked', async t => {
  const result = await script(`
    oom.lockMemory({ scope: 'process' })
    const maps = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    let checked = 0
    for (const map of maps) {
      const [head] = map.split('\\n')
      const lo = / lo( |$)/m.test(/VmFlags:.*/.exec(map)[0])
      const kb = name => Number(new RegExp('^' + name + ':\\\\s+(\\\\d+)', 'm').exec(map)[1])
      if (head.includes(process.execPath) && !head.includes('---p')) {
        assert.ok(lo, head)
        assert.equal(kb('Rss'), kb('Size'), head)
        checked++
      }
      // Code pages and spaces of V8: anonymous, without a name, not next to a library.
      if (head.includes('rwxp') || (head.includes('---p') && !head.includes('/'))) assert.ok(!lo, head)
    }
    assert.ok(checked >= 3)
    console.log('done')`)
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test(
  'unprivileged, under 8 MiB: oom-path fits, process is refused before anything is locked',
  async t => {
    const result = await script(
      `
    assert.throws(() => oom.lockMemory({ scope: 'process' }), e => {
      assert.equal(e.code, 'ERR_MEMLOCK_LIMIT')
      assert.equal(e.errno, -12)
      assert.match(e.message, /MiB of locked memory; RLIMIT_MEMLOCK allows 8.0 MiB: raise it/)
      return e instanceof oom.OomError
    })
    assert.equal(kB('VmLck'), 0)
    const lock = oom.lockMemory()
    assert.equal(kB('VmLck') * 1024, lock.bytes)
    // The main thread's stack grows as ever.
    const deep = n => (n === 0 ? 0 : 1 + deep(n - 1))
    assert.equal(deep(5000), 5000)
    console.log('done')`,
      { memlock: 8 * MiB },
    )
    t.match(result, { ...CLEAN, stdout: 'done\n' })
  },
)

// Twice what is needed now: scripts of other processes differ a little.
const enough = 2 * binding().scopeBytes('process')
const skip = mayRaise(enough) ? false : 'RLIMIT_MEMLOCK cannot be raised here'

t.test('unprivileged, with enough: process fits', { skip }, async t => {
  const result = await script(
    `
    assert.equal(kB('VmLck') * 1024, oom.lockMemory({ scope: 'process' }).bytes)
    console.log('done')`,
    { memlock: enough },
  )
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test('the stack still grows, whatever the limit', async t => {
  // A locked stack that grows beyond RLIMIT_MEMLOCK is SIGSEGV: here far more is locked than that.
  const result = await script(`
    oom.lockMemory({ scope: 'process' })
    process.setuid(65534)
    const deep = n => (n === 0 ? 0 : 1 + deep(n - 1))
    assert.equal(deep(8000), 8000)
    console.log('done')`)
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test('without any allowance the refusal is clear', async t => {
  const result = await script(
    `
    assert.throws(() => oom.lockMemory(), { code: 'ERR_MEMLOCK_LIMIT', errno: -1 })
    console.log('done')`,
    { memlock: 0 },
  )
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test('life cycle: every ending is clean', async t => {
  for (const scope of ['oom-path', 'process']) {
    const lock = `oom.lockMemory({ scope: '${scope}' })`
    for (const [name, code] of Object.entries({
      'never released': lock,
      released: `${lock}.release()`,
      'process.exit()': `${lock}; process.exit(0)`,
      'a worker that ends releases': `
        const worker = new Worker("require('" + DIST + "/index.js').lockMemory({ scope: '${scope}' })", { eval: true })
        await new Promise(resolve => worker.once('exit', code => { assert.equal(code, 0); resolve() }))
        assert.equal(kB('VmLck'), 0)`,
      'workers and garbage collection': `
        ${lock}
        for (let i = 0; i < 3; i++) {
          const worker = new Worker('const a = []; for (let i = 0; i < 1e5; i++) a.push({ i })', { eval: true })
          await new Promise(resolve => worker.once('exit', resolve))
          let garbage = []
          for (let j = 0; j < 3e5; j++) garbage.push({ j })
        }`,
    })) {
      t.match(await script(code), CLEAN, `${scope}, ${name}`)
    }
  }
})

t.test('bad arguments', async t => {
  const call =
    (...args: unknown[]) =>
    () =>
      Reflect.apply(lockMemory, undefined, args) as unknown
  for (const bad of [null, 1, 'process', []]) t.throws(call(bad), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const bad of [null, 1]) t.throws(call({ scope: bad }), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const bad of ['all', '', 'toString']) {
    t.throws(call({ scope: bad }), { code: 'ERR_INVALID_ARG_VALUE' })
  }
})
