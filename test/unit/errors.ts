import { readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { getSystemErrorMap } from 'node:util'
import t from 'tap'
import { OWN, REMEDIES, SYSTEM } from '../../lib/base/error-table.js'
import { errnoName, fromNative, OomError, ownError } from '../../lib/base/errors.js'
import { withSwitch } from '../../lib/base/runtime.js'
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
  const source = readFileSync('native/core/sys/codes.h', 'utf8')
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

t.test('an error of the library names what was missing', async t => {
  const about = (file?: string) => ownError('ERR_CGROUP_UNSUPPORTED', '/x', file).message
  t.match(about('memory.high'), /v1 has no memory\.high/)
  t.match(about('memory.memsw.limit_in_bytes'), /swap/)
  t.match(about(), /no memory controller is mounted/)
})

t.test('what is not native passes through', async t => {
  const made = new OomError('EACCES', 'no', { errno: -13, path: '/y' })
  for (const other of [new TypeError('x'), 'x', undefined, ownError('ERR_CLOSED'), made]) {
    t.equal(fromNative(other, '/x'), other)
  }
})

t.test('an errno has the name that the tables know it by', async t => {
  // EAGAIN and EWOULDBLOCK, EOPNOTSUPP and ENOTSUP, EDEADLK and EDEADLOCK are one number each.
  const numbers = [...getSystemErrorMap().keys(), ...Object.values(constants.errno).map(n => -n)]
  const given = new Set(numbers.map(errnoName))
  const sources = readdirSync('lib', { recursive: true, encoding: 'utf8' })
  const used = sources
    .filter(file => file.endsWith('.ts'))
    .flatMap(file => [...readFileSync(join('lib', file), 'utf8').matchAll(/'(E[A-Z0-9]{2,})'/g)])
    .map(match => match[1]!)
  t.ok(used.includes('EOPNOTSUPP') && used.includes('EBUSY'))
  for (const code of new Set(used)) t.ok(given.has(code), code)
  t.equal(errnoName(-1234), 'E1234')
})

t.test('errno 95 comes with the documented code and its remedy', async t => {
  const files = [
    ['write', 'cgroup.event_control', /PREEMPT_RT/],
    ['write', 'cgroup.procs', /threaded/],
    ['open', 'memory.pressure', /psi=1/],
    ['open', '/proc/pressure/memory', /psi=1/],
  ] as const
  for (const [syscall, file, remedy] of files) {
    const native = Object.assign(new Error('x'), { errno: -95, syscall, file })
    const { code, message } = fromNative(native, '/x') as OomError
    t.equal(code, 'EOPNOTSUPP', file)
    t.match(message, /^EOPNOTSUPP: operation not supported, /, file)
    t.match(message, remedy, file)
  }
})

t.test('each remedy can be reached, by the failure that it is for', async t => {
  for (const [code, prefix, text] of REMEDIES) {
    const name = prefix === '' ? {} : { file: `${prefix}` }
    const errno = -(constants.errno as Record<string, number>)[code]!
    const native = Object.assign(new Error('native'), { errno, syscall: 'open', ...name })
    const { message } = fromNative(native, '/x') as OomError
    t.ok(message.endsWith(`(${withSwitch(text)})`), `${code} ${prefix}: ${message}`)
    t.notMatch(message, /\{read-only\}|\{delegation\}|privileged/)
  }
})

t.test('the most specific remedy counts', async t => {
  const about = (errno: number, syscall: string) =>
    (fromNative(Object.assign(new Error('native'), { errno, syscall }), '/x') as OomError).message
  t.match(about(-24, 'inotify_init1'), /fs\.inotify\.max_user_instances/)
  t.match(about(-28, 'inotify_add_watch'), /fs\.inotify\.max_user_watches/)
  t.match(about(-24, 'open'), /RLIMIT_NOFILE/)
  t.notMatch(about(-24, 'open'), /inotify/)
})

t.test('the table has each code of the library, and no other', async t => {
  const codes = new Set<string>()
  for (const directory of ['lib', 'native']) {
    for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ts|cc|h)$/.test(file) || file.endsWith('error-table.ts')) continue
      const text = readFileSync(join(directory, file), 'utf8')
      // Those of util.parseArgs() are Node.js's own.
      for (const [code] of text.matchAll(/\bERR_(?!PARSE_ARGS)[A-Z_]+\b/g)) codes.add(code)
    }
  }
  t.strictSame(
    Object.keys(OWN)
      .filter(code => code !== 'ABORT_ERR')
      .sort(),
    [...codes].sort(),
  )
  const remedied = new Set(REMEDIES.map(([code]) => code))
  t.strictSame(
    [...remedied].filter(code => SYSTEM[code] === undefined),
    [],
    'each errno with a remedy has a meaning',
  )
})
