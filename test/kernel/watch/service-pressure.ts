// systemd's memory pressure protocol, with each kind of file that it knows.
import t, { type Test } from 'tap'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { watchServicePressure } from '../../../lib/index.js'
import { hasPsi, stalls, underPressure } from '../../helpers/pressure.js'
import { MiB, version } from '../../helpers/memory-files.js'
import { scratch } from '../../helpers/scratch.js'

const NO_PSI = { skip: !hasPsi && 'no PSI' }

/** The variables as a service manager sets them, for one test. */
function setVariables(t: Test, watch?: string, write?: string | Buffer): void {
  const names = ['MEMORY_PRESSURE_WATCH', 'MEMORY_PRESSURE_WRITE'] as const
  const before = names.map(name => process.env[name])
  const set = (values: readonly (string | undefined)[]) =>
    names.forEach((name, i) => {
      if (values[i] === undefined) delete process.env[name]
      else process.env[name] = values[i]
    })
  set([watch, Buffer.isBuffer(write) ? write.toString('base64') : write])
  t.teardown(() => set(before))
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

function fifo(t: Test): { path: string; fd: number } {
  const path = join(t.testdir({}), 'pressure')
  execFileSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  t.teardown(() => closeSync(fd))
  return { path, fd }
}

t.test('without the variable, or with /dev/null, there is no watch', async t => {
  for (const value of [undefined, '', '/dev/null']) {
    setVariables(t, value, base64('some 1 2'))
    t.equal(watchServicePressure(), undefined, String(value))
  }
})

t.test('a FIFO: all bytes mean pressure, and are dropped', async t => {
  const { path, fd } = fifo(t)
  setVariables(t, path)
  const events = watchServicePressure()!
  const before = process.hrtime.bigint()
  writeSync(fd, 'low')
  const first = await events.next()
  t.match(first.value, { type: 'pressure', source: path, count: 1 })
  t.ok(first.value!.at >= before && first.value!.at <= process.hrtime.bigint())
  t.throws(() => readSync(fd, Buffer.alloc(9)), { code: 'EAGAIN' }, 'nothing is left in it')
  writeSync(fd, Buffer.alloc(65536))
  t.match((await events.next()).value, { source: path })
  await events.return()
  t.strictSame(await events.next(), { value: undefined, done: true })
})

t.test('a FIFO: the data is written, and no pressure when it comes back', async t => {
  const { path, fd } = fifo(t)
  setVariables(t, path, Buffer.from([1, 0, 255]))
  const events = watchServicePressure()!
  const before = process.hrtime.bigint()
  writeSync(fd, 'now')
  const { value } = await events.next()
  t.match(value, { type: 'pressure', count: 1 }, 'not one more for what it wrote itself')
  t.ok(value!.at >= before, 'nor instead')
  await events.return()
})

t.test(
  'a socket is connected, gets the bytes of the variable, and is ended by its peer',
  async t => {
    // Not in t.testdir(): the name of a socket has 107 bytes.
    const dir = mkdtempSync(join(tmpdir(), 'cgroup-oom-'))
    t.teardown(() => rmSync(dir, { recursive: true }))
    const path = join(dir, 'pressure')
    const server = createServer().listen(path)
    t.teardown(() => void server.close())
    await once(server, 'listening')
    setVariables(t, path, Buffer.from('hello\0'))
    const events = watchServicePressure()!
    const [peer] = (await once(server, 'connection')) as [Socket]
    const [data] = (await once(peer, 'data')) as [Buffer]
    t.equal(data.toString('latin1'), 'hello\0')
    peer.write('x')
    t.match((await events.next()).value, { type: 'pressure', source: path, count: 1 })
    peer.end('y')
    t.match((await events.next()).value, { type: 'pressure' }, 'the last word counts')
    t.strictSame(await events.next(), { value: undefined, done: true })
  },
)

t.test('a PSI file gets the trigger of the variable', NO_PSI, async t => {
  const dir = scratch(t, 8 * MiB)
  const path = stalls(dir)
  const total = () => Number(/^some .*total=(\d+)/m.exec(readFileSync(path, 'utf8'))![1])
  const before = total()
  setVariables(t, path, Buffer.from('some 500 2000000\0'))
  const events = watchServicePressure()!
  t.match(await underPressure(events, dir), { type: 'pressure', source: path, count: 1 })
  t.ok(total() - before >= 500, `${total() - before} µs`)
  await events.return()
})

t.test('a PSI file: the group is removed', { skip: version === 1 || NO_PSI.skip }, async t => {
  const dir = scratch(t)
  setVariables(t, stalls(dir), Buffer.from('full 100000 2000000'))
  const events = watchServicePressure()!
  rmdirSync(dir)
  t.strictSame(await events.next(), { value: undefined, done: true })
})

t.test('variables that do not follow the protocol are refused', async t => {
  const plain = join(t.testdir({ file: 'untouched' }), 'file')
  const trigger = base64('some 100000 2000000')
  for (const [watch, write] of [
    ['memory.pressure', trigger],
    [plain, trigger],
    ['/dev/zero', trigger],
    ['/', trigger],
    ['/proc/pressure/memory', undefined],
    ['/proc/pressure/memory', base64('now')],
    ['/proc/pressure/memory', 'some 100000 2000000'],
  ] as const) {
    if (watch.startsWith('/proc/') && !hasPsi) continue
    setVariables(t, watch, write)
    t.throws(() => watchServicePressure(), { code: 'ERR_PRESSURE_WATCH', path: watch }, watch)
  }
  t.equal(readFileSync(plain, 'utf8'), 'untouched')
  setVariables(t, '/nowhere/pressure', trigger)
  t.throws(() => watchServicePressure(), {
    code: 'ENOENT',
    path: '/nowhere/pressure',
    syscall: 'open',
  })
  if (hasPsi) {
    setVariables(t, '/proc/pressure/memory', base64('some 1 99999999\0'))
    t.throws(() => watchServicePressure(), { code: 'EINVAL', syscall: 'write' })
  }
  const { path } = fifo(t)
  setVariables(t, path)
  t.throws(() => watchServicePressure({ signal: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => watchServicePressure({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  const later = new AbortController()
  const events = watchServicePressure({ signal: later.signal })!
  later.abort()
  await t.rejects(events.next(), { name: 'AbortError' })
})
