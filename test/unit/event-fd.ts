import { readlinkSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { EventFd } from '../../lib/primitives.js'
import { script, CLEAN } from '../helpers/script.js'

t.test('a read returns the sum of all writes', async t => {
  const fd = new EventFd(3)
  t.teardown(() => fd.close())
  t.match(readlinkSync(`/proc/self/fd/${fd.fd}`), /eventfd/)
  t.equal(await fd.read(), 3n)
  fd.write(2n)
  fd.write(5)
  fd.write()
  t.equal(await fd.read(), 8n)
  fd.write(2n ** 64n - 2n)
  t.throws(() => fd.write(1), { name: 'OomError', code: 'EAGAIN', errno: -11, syscall: 'write' })
  t.equal(await fd.read(), 2n ** 64n - 2n)
})

t.test('a semaphore gives 1 at a time', async t => {
  const fd = EventFd.create(2, { semaphore: true })
  t.equal(await fd.read(), 1n)
  t.equal(await fd.read(), 1n)
  const third = fd.read()
  fd.write(1)
  t.equal(await third, 1n)
  fd.close()
})

t.test('readers wait in order, without blocking the loop or the pool', async t => {
  const fd = new EventFd(0, { semaphore: true })
  // More than libuv's pool has threads: if each took one, crypto below would never finish.
  const order: number[] = []
  const reads = Array.from({ length: 16 }, (_, i) => fd.read().then(() => order.push(i)))
  const { scrypt } = await import('node:crypto')
  await new Promise<void>((resolve, reject) =>
    scrypt('a', 'b', 16, error => (error ? reject(error) : resolve())),
  )
  t.strictSame(order, [])
  fd.write(16)
  await Promise.all(reads)
  t.strictSame(order, [...order.keys()])
  t.equal(order.length, 16)
  fd.close()
})

t.test('close() rejects pending reads and all later calls', async t => {
  const fd = new EventFd()
  const closed = { name: 'OomError', code: 'ERR_CLOSED' }
  const reading = fd.read()
  const iterating = fd[Symbol.asyncIterator]().next()
  const number = fd.fd
  fd.close()
  await t.rejects(reading, closed)
  t.strictSame(await iterating, { done: true, value: undefined })
  await t.rejects(fd.read(), closed)
  t.throws(() => fd.write(1), closed)
  t.throws(() => fd.fd, closed)
  t.throws(() => fd.ref(), closed)
  t.ok(fd.closed)
  fd.close()
  await turn()
  t.throws(() => readlinkSync(`/proc/self/fd/${number}`), { code: 'ENOENT' })
})

t.test('break and return() of an iteration leave it open', async t => {
  const fd = new EventFd(1)
  const seen: bigint[] = []
  for await (const value of fd) {
    seen.push(value)
    if (seen.length === 3) break
    fd.write(seen.length + 1)
  }
  t.strictSame(seen, [1n, 2n, 3n])
  const iterator = fd[Symbol.asyncIterator]()
  const next = iterator.next()
  t.strictSame(await iterator.return!(), { done: true, value: undefined })
  t.strictSame(await next, { done: true, value: undefined })
  fd.write(7)
  t.equal(await fd.read(), 7n, 'the value was not taken by the ended iteration')
  fd.close()
})

t.test('a signal ends one read', async t => {
  const fd = new EventFd()
  const controller = new AbortController()
  const first = fd.read({ signal: controller.signal })
  const second = fd.read()
  controller.abort(new Error('enough'))
  await t.rejects(first, { name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'enough' } })
  await t.rejects(fd.read({ signal: controller.signal }), { name: 'AbortError' })
  fd.write(4)
  t.equal(await second, 4n)
  fd.close()
})

t.test('bad arguments', async t => {
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }
  const make =
    (...args: unknown[]) =>
    () =>
      Reflect.construct(EventFd, args) as EventFd
  for (const bad of ['1', null, {}, 1n, true]) t.throws(make(bad), type)
  for (const bad of [-1, NaN, 0.5, 2 ** 32, Infinity]) t.throws(make(bad), range)
  for (const bad of [null, 'x', 1, []]) t.throws(make(0, bad), type)
  t.throws(make(0, { semaphore: 1 }), type)
  const fd = new EventFd()
  for (const bad of ['1', null, {}, true]) t.throws(() => fd.write(bad as never), type)
  for (const bad of [-1, NaN, 0.5, 2 ** 53, -1n, 2n ** 64n - 1n])
    t.throws(() => fd.write(bad), range)
  await t.rejects(fd.read(null as never), type)
  await t.rejects(fd.read({ signal: {} as never }), type)
  fd.close()
})

t.test('life cycle: every ending is clean', async t => {
  const open = `const fd = new oom.EventFd(); const read = fd.read();`
  const endings: Record<string, string> = {
    'natural end, unref()ed': `${open} fd.unref()`,
    'natural end after close': `${open} read.catch(() => {}); setTimeout(() => fd.close(), 1)`,
    'a pending read keeps the process alive': `${open} setTimeout(() => fd.write(1), 50).unref(); await read; fd.close(); console.log('read')`,
    'never closed, no reader': `const fd = new oom.EventFd(1); await fd.read()`,
    'process.exit()': `${open} process.exit(0)`,
    'garbage collected': `for (let i = 0; i < 1e4; i++) new oom.EventFd(1).read(); await new Promise(setImmediate)`,
    'a worker that ends, and one that is terminated': `
      const code = \`const { EventFd } = require('\${DIST}/primitives.js'); const fd = new EventFd(); fd.read()\`
      const natural = new Worker(code + '; fd.unref()', { eval: true })
      await new Promise(resolve => natural.once('exit', code => { assert.equal(code, 0); resolve() }))
      for (let i = 0; i < 5; i++) {
        const worker = new Worker(code + "; require('node:worker_threads').parentPort.postMessage(1)", { eval: true })
        await new Promise(resolve => worker.once('message', resolve))
        await worker.terminate()
      }`,
  }
  for (const [name, code] of Object.entries(endings)) {
    const result = await script(code)
    t.match(result, CLEAN, name)
    if (name.startsWith('a pending')) t.equal(result.stdout, 'read\n', name)
  }
})
