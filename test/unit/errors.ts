import { readFileSync } from 'node:fs'
import t from 'tap'
import { fromNative, OomError, ownError } from '../../lib/errors.js'
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

t.test('every code of the core has a text of its own', async t => {
  const source = readFileSync('native/core/codes.h', 'utf8')
  const codes = [...source.matchAll(/return "(ERR_\w+)"/g)].map(match => match[1]!)
  t.ok(codes.length >= 5)
  for (const code of codes) {
    const native = Object.assign(new Error('native'), { errno: -5000, code })
    const error = fromNative(native, '/x') as OomError
    t.type(error, OomError)
    t.equal(error.code, code)
    t.equal(error.path, '/x')
    t.not(error.message, `${code}: '/x'`, 'there is a sentence for it')
    t.match(error.message, /: '\/x'$/)
    t.notOk('errno' in error, 'it is no system call that failed')
  }
})

t.test('an own failure says what was missing', async t => {
  const about = (file?: string) => ownError('ERR_CGROUP_UNSUPPORTED', '/x', file).message
  t.match(about('memory.high'), /v1 has no memory\.high/)
  t.match(about('memory.memsw.limit_in_bytes'), /swap/)
  t.match(about(), /no memory controller is mounted/)
})

t.test('what is not native passes through', async t => {
  for (const other of [new TypeError('x'), 'x', undefined, ownError('ERR_CLOSED')]) {
    t.equal(fromNative(other, '/x'), other)
  }
})
