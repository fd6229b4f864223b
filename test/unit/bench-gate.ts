// The gate of the measurements, and the figures that the documents show.
import t from 'tap'
import { execFileSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'

type Kept = Record<string, { ratio: number; ungated?: true }>

const { worse } = (await import(pathToFileURL('scripts/figures.mjs').href)) as {
  worse: (found: Record<string, { ratio: number }>, kept: Kept) => string[]
}

t.test('a ratio may be 1.5 times the one that is kept, and no more', async t => {
  const kept = { a: { ratio: 2 }, b: { ratio: 4 }, quick: { ratio: 0.4 } }
  const found = (a: number, b: number, quick: number) => ({
    a: { ratio: a },
    b: { ratio: b },
    quick: { ratio: quick },
  })
  t.strictSame(worse(found(3, 6, 0.4), kept), [])
  t.strictSame(worse(found(3.01, 0.1, 0.4), kept), ['a'])
  t.strictSame(worse(found(9, 6.1, 0.4), kept), ['a', 'b'])
  t.strictSame(worse(found(1, 1, 1.5), kept), [], 'quicker than the floor is no promise')
  t.strictSame(worse(found(1, 1, 1.51), kept), ['quick'])
  t.strictSame(worse({ ...found(1, 1, 1), new: { ratio: 99 } }, kept), [])
})

t.test('a ratio that is missing, or no number, fails', async t => {
  t.strictSame(worse({}, { a: { ratio: 2 } }), ['a'])
  t.strictSame(worse({ a: { ratio: NaN } }, { a: { ratio: 2 } }), ['a'])
  t.strictSame(
    worse({}, { a: { ratio: 2, ungated: true } }),
    [],
    'but not one that is no part of the gate',
  )
})

t.test('the documents show the figures of bench/ratios.json', async t => {
  t.doesNotThrow(() => execFileSync(process.execPath, ['scripts/figures.mjs', '--check']))
})
