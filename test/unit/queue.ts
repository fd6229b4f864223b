// The queue behind the iterators: order, joining, overflow, every way to end.
import t from 'tap'
import fc from 'fast-check'
import { EventQueue, failOnAbort, throwIfAborted } from '../../lib/base/queue.js'

interface Item {
  key: string
  count: number
}

function queue(limit: number, joining = true): { q: EventQueue<Item>; ended: () => number } {
  let ended = 0
  const q = new EventQueue<Item>({
    limit,
    key: ({ key }) => key,
    coalesce: (waiting, { count }) => {
      if (!joining || waiting.key === 'missed') return false
      waiting.count += count
      return true
    },
    overflow: (missed, first) => ({ key: `missed since ${first.key}`, count: missed }),
    onEnd: () => ended++,
  })
  return { q, ended: () => ended }
}

const item = (key: string, count = 1): Item => ({ key, count })
const done = { value: undefined, done: true }

async function rest(q: EventQueue<Item>): Promise<string[]> {
  const all = []
  for (let n = await q.next(); !n.done; n = await q.next())
    all.push(`${n.value.key} ${n.value.count}`)
  return all
}

t.test('what waits is joined by key, what has been taken is not', async t => {
  const { q } = queue(10)
  const first = item('a')
  for (const value of [first, item('b'), item('a', 2)]) q.push(value)
  t.equal(q.length, 2)
  t.equal((await q.next()).value, first)
  q.push(item('a'))
  t.equal(first.count, 3, 'it belongs to the consumer that has taken it')
  q.push(item('c'))
  q.seal('a')
  q.push(item('a', 5))
  q.end()
  t.strictSame(await rest(q), ['b 1', 'a 1', 'c 1', 'a 5'])
})

t.test('waiting consumers are served in order', async t => {
  const { q, ended } = queue(1)
  const [one, two, three] = [q.next(), q.next(), q.next()]
  q.push(item('a'))
  q.push(item('a'))
  t.match(await one, { value: { count: 1 } })
  t.match(await two, { value: { count: 1 } })
  q.end()
  q.end()
  t.strictSame(await three, done)
  t.equal(ended(), 1)
  q.push(item('late'))
  t.strictSame(await q.next(), done)
})

t.test('an overflow is reported once, after the values before it', async t => {
  const { q } = queue(2, false)
  for (const key of ['a', 'b', 'c', 'd', 'e']) q.push(item(key))
  t.equal(q.length, 2)
  t.match((await q.next()).value, item('a'))
  q.push(item('f'))
  t.match((await q.next()).value, item('b'))
  t.match((await q.next()).value, { key: 'missed since c', count: 4 })
  q.push(item('g'))
  q.end()
  t.strictSame(await rest(q), ['g 1'])
})

t.test('a value that must not be lost comes after the report of those that are', async t => {
  const { q } = queue(1, false)
  for (const key of ['a', 'b', 'c']) q.push(item(key))
  q.push(item('last'), true)
  q.end()
  t.strictSame(await rest(q), ['a 1', 'missed since b 2', 'last 1'])
  const other = queue(1, false).q
  for (const key of ['a', 'b']) other.push(item(key))
  other.end()
  t.strictSame(await rest(other), ['a 1', 'missed since b 1'])
})

t.test('stop, clear and fail drop what waits', async t => {
  const stopped = queue(1, false)
  for (const key of ['a', 'b']) stopped.q.push(item(key))
  stopped.q.stop()
  t.strictSame(await stopped.q.next(), done)
  t.equal(stopped.ended(), 1)

  const cleared = queue(1, false).q
  for (const key of ['a', 'b']) cleared.push(item(key))
  cleared.clear()
  cleared.push(item('c'))
  cleared.end()
  t.strictSame(await rest(cleared), ['c 1'])

  const failed = queue(1)
  failed.q.push(item('a'))
  failed.q.fail(new Error('mine'))
  failed.q.fail(new Error('another'))
  await t.rejects(failed.q.next(), { message: 'mine' })
  t.strictSame(await failed.q.next(), done, 'once')

  const waiting = queue(1)
  const pending = [waiting.q.next(), waiting.q.next()] as const
  waiting.q.fail(new Error('mine'))
  await t.rejects(pending[0], { message: 'mine' })
  t.strictSame(await pending[1], done)

  const left = queue(1).q
  left.fail(new Error('mine'))
  left.stop()
  t.strictSame(await left.next(), done, 'the iterator has been left')
})

t.test('an aborted signal ends the queue with an AbortError', async t => {
  const { q } = queue(1)
  const control = new AbortController()
  failOnAbort(q, control.signal)
  throwIfAborted(control.signal)
  throwIfAborted(undefined)
  control.abort('why')
  await t.rejects(q.next(), { name: 'AbortError', code: 'ABORT_ERR', cause: 'why' })
  t.throws(() => throwIfAborted(control.signal), { name: 'AbortError', cause: 'why' })
  const other = queue(1).q
  const calm = new AbortController()
  failOnAbort(other, calm.signal)()
  calm.abort()
  t.notOk(other.ended)
  failOnAbort(other, undefined)()
})

t.test('taking from a long queue is quick', async t => {
  const { q } = queue(2 ** 18, false)
  for (let i = 0; i < 2 ** 18; i++) q.push(item(String(i)))
  let expected = 0
  for (; q.length > 0; expected++) {
    const { value } = await q.next()
    if (value!.key !== String(expected)) t.fail(`${value!.key} for ${expected}`)
  }
  t.equal(expected, 2 ** 18)
})

t.test('in any order, every count is delivered or reported as lost', async t => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'take'), { maxLength: 60 }),
        async (limit, steps) => {
          const { q } = queue(limit)
          let pushed = 0
          let delivered = 0
          const take = async (): Promise<boolean> => {
            const { value, done } = await q.next()
            if (value) delivered += value.count
            return !done
          }
          for (const step of steps) {
            if (step !== 'take') {
              pushed++
              q.push(item(step))
              if (q.length > limit) return false
            } else if (pushed > delivered) {
              await take()
            }
          }
          q.end()
          while (await take());
          return delivered === pushed
        },
      ),
    ),
  )
})
