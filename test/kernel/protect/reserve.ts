// MemoryReserve: resident, locked, freed and allocated again, in whatever way the process ends.
import { join } from 'node:path'
import t from 'tap'
import { MemoryReserve } from '../../../lib/index.js'
import { binding } from '../../../lib/native/addon.js'
import { MiB, onV1, USAGE } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'
import { CLEAN, script } from '../../helpers/script.js'

const rss = (): number => process.memoryUsage.rss()
const locked = (): number => binding().memlockNumbers().locked

t.test('is resident and locked, frees its pages, and allocates them again', async t => {
  const before = { rss: rss(), locked: locked() }
  const reserve = new MemoryReserve('64M')
  t.equal(reserve.bytes, 64 * MiB)
  const near = (bytes: number) => Math.abs(rss() - before.rss - bytes) < 24 * MiB
  t.ok(near(64 * MiB), 'resident')
  t.equal(locked() - before.locked, 64 * MiB)
  t.equal(reserve.release(), 64 * MiB)
  t.ok(near(0), 'freed')
  t.equal(reserve.release(), 0)
  reserve.refill()
  reserve.refill()
  t.ok(near(64 * MiB), 'resident again')
  t.equal(locked() - before.locked, 64 * MiB)
  t.equal(reserve.release(), 64 * MiB)
  reserve.refill()
  reserve.close()
  reserve.close()
  t.ok(near(0), 'closed')
  t.equal(locked(), before.locked)
  const closed = { name: 'OomError', code: 'ERR_CLOSED' }
  t.throws(() => reserve.release(), closed)
  t.throws(() => reserve.refill(), closed)
})

t.test('sizes are rounded up to pages', async t => {
  const reserve = new MemoryReserve(1)
  t.equal(reserve.bytes % 4096, 0)
  t.equal(reserve.release(), reserve.bytes)
  reserve.close()
})

t.test("the usage of this process's group falls with the release", async t => {
  const dir = scratch(t)
  const result = await script(`
    require('node:fs').writeFileSync(${JSON.stringify(join(dir, 'cgroup.procs'))}, String(process.pid))
    const usage = () => Number(readFileSync(${JSON.stringify(join(dir, USAGE))}))
    const reserve = new oom.MemoryReserve('64M')
    const full = usage()
    assert.ok(full >= 64 << 20, 'charged: ' + full)
    reserve.release()
    const empty = usage()
    assert.ok(full - empty > 60 << 20, 'freed: ' + (full - empty))
    reserve.refill()
    assert.ok(usage() - empty > 60 << 20, 'charged again')
    console.log('done')`)
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

const noKiller = onV1('elsewhere the kernel kills the process that needs more')
t.test('a refill that a full group has no room for fails, and holds nothing', noKiller, async t => {
  // The killer is disabled: with page faults instead of a system call this would hang.
  const dir = scratch(t, 96 * MiB)
  const result = await script(`
    const { writeFileSync } = require('node:fs')
    const file = name => ${JSON.stringify(dir)} + '/' + name
    const usage = () => Number(readFileSync(file('memory.usage_in_bytes')))
    const reserve = new oom.MemoryReserve('48M')
    reserve.release()
    writeFileSync(file('memory.oom_control'), '1')
    writeFileSync(file('cgroup.procs'), String(process.pid))
    const other = new oom.MemoryReserve('72M')
    const before = usage()
    assert.throws(() => reserve.refill(), { name: 'OomError', code: 'ENOMEM', syscall: 'madvise' })
    assert.throws(() => new oom.MemoryReserve('48M'), { code: 'ENOMEM' })
    assert.ok(usage() - before < 8 << 20, 'holds ' + (usage() - before))
    assert.equal(reserve.release(), 0)
    assert.equal(other.release(), 72 << 20)
    reserve.refill()
    assert.equal(reserve.release(), 48 << 20)
    console.log('done')`)
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test('more than RLIMIT_MEMLOCK is refused before anything is allocated', async t => {
  const result = await script(
    `
    const before = kB('VmSize')
    assert.throws(() => new oom.MemoryReserve('16M'), e => {
      assert.equal(e.code, 'ERR_MEMLOCK_LIMIT')
      assert.match(e.message, /16.0 MiB.*RLIMIT_MEMLOCK allows 8.0 MiB.*ulimit -l/)
      return e instanceof oom.OomError
    })
    assert.equal(kB('VmLck'), 0)
    const reserve = new oom.MemoryReserve('4M')
    assert.equal(kB('VmLck'), 4096)
    assert.equal(reserve.release(), 4 << 20)
    reserve.refill()
    console.log('done')`,
    { memlock: 8 * MiB },
  )
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test('bad arguments', async t => {
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  const value = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }
  const make = (bytes: unknown) => () => Reflect.construct(MemoryReserve, [bytes]) as MemoryReserve
  for (const bad of [undefined, null, true, {}, 1n]) t.throws(make(bad), type)
  for (const bad of ['', 'x', '-1', '1.5M', '1 M', '0x10', 'M']) t.throws(make(bad), value)
  for (const bad of [0, -1, NaN, 0.5, Infinity, 2 ** 53, 'max', '0', '99999E']) {
    t.throws(make(bad), range)
  }
})

t.test('life cycle: every ending is clean', async t => {
  const worker = `new Worker("const { MemoryReserve } = require('" + DIST + "/index.js'); new MemoryReserve('8M')", { eval: true })`
  for (const [name, code] of Object.entries({
    'never closed': `new oom.MemoryReserve('8M')`,
    'released, never closed': `new oom.MemoryReserve('8M').release()`,
    'process.exit()': `new oom.MemoryReserve('8M'); process.exit(0)`,
    'a worker that ends frees it': `
      await new Promise(resolve => ${worker}.once('exit', code => { assert.equal(code, 0); resolve() }))
      assert.equal(kB('VmLck'), 0)`,
  })) {
    t.match(await script(code), CLEAN, name)
  }
})
