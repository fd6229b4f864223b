// lab: left out: about Node.js, not about the kernel
import t from 'tap'
import { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, mlockall } from '../../../lib/primitives.js'
import { MiB } from '../../helpers/memory-files.js'
import { CLEAN, script } from '../../helpers/script.js'

t.test('locks, unlocks, and leaves what others hold', async t => {
  const result = await script(`
    const lock = oom.lockMemory()
    const reserve = new oom.MemoryReserve('1M')
    oom.mlockall(oom.MCL_CURRENT | oom.MCL_ONFAULT)
    const all = kB('VmLck')
    assert.ok(all > 100 << 10)
    oom.munlockall()
    assert.equal(kB('VmLck') * 1024, lock.bytes + reserve.bytes)
    assert.equal(reserve.release(), 1 << 20)
    oom.munlockall()
    oom.munlockall()
    console.log('done')`)
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test('at a natural end the memory is unlocked in time', async t => {
  for (const flags of [
    'MCL_CURRENT',
    'MCL_CURRENT | oom.MCL_ONFAULT',
    'MCL_FUTURE',
    'MCL_FUTURE | oom.MCL_ONFAULT',
  ]) {
    t.match(await script(`oom.mlockall(oom.${flags})`), CLEAN, flags)
    t.match(await script(`oom.mlockall(oom.${flags}); process.exit(0)`), CLEAN, `${flags}, exit`)
  }
})

t.test('unprivileged: what would be fatal is refused before', async t => {
  const result = await script(
    `
    for (const flags of [1, 2, 3, 6, 7]) {
      assert.throws(() => oom.mlockall(flags), e => {
        assert.equal(e.code, 'ERR_MEMLOCK_LIMIT')
        assert.match(e.message, /RLIMIT_MEMLOCK allows 8.0 MiB/)
        return true
      })
    }
    assert.equal(kB('VmLck'), 0)
    Buffer.alloc(64 << 20, 1)
    console.log('done')`,
    { memlock: 8 * MiB },
  )
  t.match(result, { ...CLEAN, stdout: 'done\n' })
})

t.test('bad arguments', async t => {
  t.strictSame([MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT], [1, 2, 4])
  for (const bad of [undefined, null, '1', {}, 1n]) {
    t.throws(() => mlockall(bad as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  for (const bad of [0, -1, 8, NaN, 1.5])
    t.throws(() => mlockall(bad), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => mlockall(MCL_ONFAULT), { code: 'ERR_INVALID_ARG_VALUE' })
})
