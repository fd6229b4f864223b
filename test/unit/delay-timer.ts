// DelayTimer: on the sentinel's clock, whatever the event loop does.
import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { DelayTimer, EventFd, type DelayExpiration } from '../../lib/primitives.js'
import { CLEAN, script } from '../helpers/script.js'

const ms = 1_000_000n

/** Blocks the event loop until the condition holds. */
function block(until: () => boolean): void {
  while (!until());
}

const first = async (timer: DelayTimer): Promise<DelayExpiration> => {
  for await (const expiration of timer) return expiration
  throw new Error('closed')
}

t.test('it fires while the event loop is blocked', async t => {
  using eventFd = new EventFd()
  using timer = new DelayTimer({ eventFd })
  const before = process.hrtime.bigint()
  timer.start(20)
  t.ok(timer.active)
  // 100 times the delay for a slow machine, but the eventfd ends it much earlier.
  block(() => process.hrtime.bigint() > before + 300n * ms)
  const unblocked = process.hrtime.bigint()
  t.notOk(timer.active)
  const { at, due, count } = await first(timer)
  t.equal(count, 1)
  t.ok(due >= before + 20n * ms)
  t.ok(at >= due, 'never early')
  t.ok(at < unblocked, 'stamped natively, while the loop was blocked')
  t.equal(await eventFd.read(), 1n, 'written natively')
})

t.test('an eventfd is written at the time, not when the loop comes round', async t => {
  const result = await script(`
    const { workerData, Worker } = require('node:worker_threads')
    const eventFd = new oom.EventFd()
    const timer = new oom.DelayTimer({ eventFd })
    // Another thread reads it with read(2) of its own while this one is blocked.
    const shared = new BigInt64Array(new SharedArrayBuffer(16))
    const worker = new Worker(\`
      const { parentPort, workerData: { shared, fd } } = require('node:worker_threads')
      parentPort.postMessage('reading')
      const fs = require('node:fs')
      const buffer = Buffer.alloc(8)
      for (;;) {
        try { fs.readSync(fd, buffer); break } catch (error) { if (error.code !== 'EAGAIN') throw error }
      }
      Atomics.store(shared, 0, buffer.readBigUInt64LE())
    \`, { eval: true, workerData: { shared, fd: eventFd.fd } })
    // Its start needs this thread.
    await new Promise(resolve => worker.once('message', resolve))
    const began = Date.now()
    timer.start(200)
    while (Atomics.load(shared, 0) === 0n && Date.now() - began < 60_000);
    assert.equal(Atomics.load(shared, 0), 1n)
    timer.close()
  `)
  t.match(result, CLEAN)
})

t.test('it repeats; expirations that are not taken are joined', async t => {
  using eventFd = new EventFd()
  using timer = new DelayTimer({ eventFd })
  timer.start(1, { intervalMs: 5 })
  const all: DelayExpiration[] = []
  for await (const expiration of timer) {
    all.push(expiration)
    if (all.length === 5) break
  }
  t.ok(timer.active, 'leaving the loop does not end it')
  for (const [i, { at, due }] of all.entries()) {
    t.ok(at >= due)
    if (i > 0) t.equal(due - all[i - 1]!.due, 5n * ms * BigInt(all[i - 1]!.count))
  }
  const began = process.hrtime.bigint()
  block(() => process.hrtime.bigint() > began + 100n * ms)
  await sleep(1)
  const joined = await first(timer)
  t.ok(joined.count >= 15, String(joined.count))
  timer.stop()
  t.notOk(timer.active)
})

t.test('start() and stop() drop what was not taken', async t => {
  using timer = new DelayTimer()
  timer.start(0)
  await sleep(10)
  timer.start(5)
  const { due, at, count } = await first(timer)
  t.ok(at >= due)
  t.equal(count, 1)
  timer.start(0, { intervalMs: 1 })
  block(
    (
      end => () =>
        process.hrtime.bigint() > end
    )(process.hrtime.bigint() + 20n * ms),
  )
  timer.stop()
  timer.stop()
  const began = process.hrtime.bigint()
  timer.start(30)
  const last = await first(timer)
  t.ok(last.due >= began + 30n * ms, 'nothing of what was on its way')
})

t.test('closing ends the loops; ERR_CLOSED afterwards', async t => {
  const timer = new DelayTimer()
  timer.start(60_000)
  const pending = first(timer)
  timer.close()
  timer.close()
  await t.rejects(pending, { message: 'closed' })
  t.ok(timer.closed)
  t.notOk(timer.active)
  t.throws(() => timer.start(1), { code: 'ERR_CLOSED' })
  timer.stop()
  timer.ref().unref()
  for await (const expiration of timer) t.fail(String(expiration.at))
})

t.test('wrong arguments are refused', t => {
  for (const options of [null, 1, []]) {
    t.throws(() => new DelayTimer(options as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  t.throws(() => new DelayTimer({ eventFd: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  const closed = new EventFd()
  closed.close()
  t.throws(() => new DelayTimer({ eventFd: closed }), { code: 'ERR_CLOSED' })
  using timer = new DelayTimer()
  for (const delay of [undefined, null, '1', 1n]) {
    t.throws(() => timer.start(delay as never), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  for (const delay of [-1, 0.5, NaN, Infinity, 2 ** 31]) {
    t.throws(() => timer.start(delay), { code: 'ERR_OUT_OF_RANGE' })
  }
  for (const intervalMs of [0, -1, 1.5, 2 ** 31]) {
    t.throws(() => timer.start(1, { intervalMs }), { code: 'ERR_OUT_OF_RANGE' })
  }
  t.throws(() => timer.start(1, { intervalMs: '1' as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.notOk(timer.active)
  t.end()
})

t.test('it keeps the process alive while it runs, unless unref() was called', async t => {
  const make = (rest: string): Promise<unknown> =>
    script(`const timer = new oom.DelayTimer(); ${rest}`)
  t.match(await make(`timer.start(2 ** 31 - 1); timer.unref()`), CLEAN)
  t.match(await make(`timer.start(1); timer.unref().ref()`), CLEAN)
  t.match(await make(`timer.start(1, { intervalMs: 1 }); timer.stop()`), CLEAN)
  t.match(
    await make(
      `const began = process.hrtime.bigint(); timer.start(50);
       process.once('exit', () => assert.ok(process.hrtime.bigint() - began >= 50_000_000n))`,
    ),
    CLEAN,
  )
})
