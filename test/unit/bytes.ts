import fc from 'fast-check'
import t from 'tap'
import { bytes, thresholdAt, usageThreshold } from '../../lib/base/bytes.js'

const max = { max: true }

t.test('sizes are read as the kernel reads them', async t => {
  t.equal(bytes('size', 0), 0)
  t.equal(bytes('size', 4097), 4097)
  t.equal(bytes('size', '0'), 0)
  t.equal(bytes('size', '123'), 123)
  t.equal(bytes('size', '64M'), 64 * 1024 ** 2)
  t.equal(bytes('size', '64m'), 64 * 1024 ** 2)
  for (const [i, suffix] of [...'KMGTPE'].entries()) {
    t.equal(bytes('size', `1${suffix}`), 1024 ** (i + 1))
  }
})

t.test("'max' and Infinity mean no limit", async t => {
  t.equal(bytes('size', 'max', max), Infinity)
  t.equal(bytes('size', Infinity, max), Infinity)
  t.equal(bytes('size', '9223372036854771712', max), Infinity, 'as v1 writes it')
  t.equal(bytes('size', '8E', max), Infinity)
  for (const none of ['max', Infinity, '8E']) {
    t.throws(
      () => bytes('size', none),
      { code: 'ERR_OUT_OF_RANGE' },
      `${none} where a size is meant`,
    )
  }
})

t.test('values that are no size are refused', async t => {
  for (const bad of [undefined, null, true, 1n, {}, [], () => 1, Symbol('1'), new Date(0)]) {
    t.throws(() => bytes('size', bad, max), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  }
  for (const bad of [
    '',
    ' ',
    '1 ',
    ' 1',
    '-1',
    '+1',
    '1.5M',
    '1e3',
    '0x10',
    '64MB',
    '64Mi',
    'M',
    'Max',
    '1\n',
    '1\0',
    '١',
  ]) {
    t.throws(
      () => bytes('size', bad, max),
      { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' },
      JSON.stringify(bad),
    )
  }
  t.throws(() => bytes('size', '010'), { code: 'ERR_INVALID_ARG_VALUE', message: /octal/ })
  for (const bad of [
    NaN,
    -1,
    -Infinity,
    0.5,
    2 ** 53,
    '9007199254740993',
    '16E',
    '99999999999999999999',
  ]) {
    t.throws(
      () => bytes('size', bad, max),
      { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' },
      String(bad),
    )
  }
})

t.test('every number is read back as it was written, in any notation', async () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), n => bytes('size', n) === n && bytes('size', String(n)) === n),
  )
  fc.assert(
    fc.property(fc.nat(1023), fc.constantFrom(...'KMGTPkmgtp'), (n, suffix) => {
      const power = 'KMGTP'.indexOf(suffix.toUpperCase()) + 1
      return bytes('size', `${n}${suffix}`) === n * 1024 ** power
    }),
  )
})

t.test('any string gives a size or a documented error', async t => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{0,25}[a-zA-Z]?$/)), text => {
      try {
        const size = bytes('size', text, max)
        return size === Infinity || (Number.isInteger(size) && size >= 0)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        return code === 'ERR_INVALID_ARG_VALUE' || code === 'ERR_OUT_OF_RANGE'
      }
    }),
  )
  t.pass()
})

t.test('a size of usage is bytes or a share of the limit', async t => {
  t.same(usageThreshold('size', '16M'), { bytes: 16 * 2 ** 20, millionths: 0 })
  t.same(usageThreshold('size', 4711), { bytes: 4711, millionths: 0 })
  for (const [text, millionths] of [
    ['80%', 800_000],
    ['100%', 1_000_000],
    ['97.5%', 975_000],
    ['0.0001%', 1],
    ['080%', 800_000],
  ] as const) {
    t.same(usageThreshold('size', text), { bytes: 0, millionths }, text)
  }
  for (const text of [
    '%',
    '1e1%',
    '-1%',
    '80 %',
    '8.%',
    '.5%',
    '1.00001%',
    '80%%',
    '1000%',
    'max%',
  ]) {
    t.throws(() => usageThreshold('size', text), { code: 'ERR_INVALID_ARG_VALUE' }, text)
  }
  for (const text of ['0%', '0.0000%', '101%', '100.0001%']) {
    t.throws(() => usageThreshold('size', text), { code: 'ERR_OUT_OF_RANGE' }, text)
  }
  t.throws(() => bytes('size', '80%'), { code: 'ERR_INVALID_ARG_VALUE' }, 'no size of its own')
})

t.test('a share is of the limit as it is', async t => {
  t.equal(thresholdAt({ bytes: 4711, millionths: 0 }, Infinity), 4711)
  t.equal(thresholdAt({ bytes: 0, millionths: 800_000 }, 1001), 800)
  t.equal(thresholdAt({ bytes: 0, millionths: 999_999 }, 2 ** 52), 4503595123770868)
  t.equal(thresholdAt({ bytes: 0, millionths: 1 }, Infinity), Infinity)
})
