import t from 'tap'
import { fromNative, OomError } from '../../lib/errors.js'
import { nativeFile } from '../../lib/native/load.js'

t.test('a native failure becomes an OomError with the remedy', async t => {
  const native = Object.assign(new Error('write'), {
    errno: -16,
    syscall: 'write',
    file: 'memory.limit_in_bytes',
  })
  const error = fromNative(native, '/x') as OomError
  t.type(error, OomError)
  t.match(error, { code: 'EBUSY', errno: -16, syscall: 'write', path: '/x/memory.limit_in_bytes' })
  t.match(error.message, /could not reclaim/)
  t.ok(nativeFile('cgroup_oom.node'))
})
