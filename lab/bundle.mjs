// tap and all that it requires as one file with V8's code cache: node lab/bundle.mjs DIRECTORY. A program
// of its own, because the cache holds what has been compiled in it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { load } from './bundle-load.mjs'

const file = join(process.argv[2], 'bundle.js')
await build({
  stdin: { contents: "module.exports = require('tap')", resolveDir: import.meta.dirname },
  outfile: file,
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'error',
  banner: { js: '(function (exports, require, module, __filename, __dirname) {' },
  footer: { js: '})' },
})

// Results of every kind, so that the cache has what is compiled only then.
const { exports, script } = load(file)
const sample = new exports.Test({ name: 'sample' })
sample.resume()
await sample.test('results', async t => {
  t.same({ a: [1, new Map([[1, 2]])] }, { a: [2] })
  t.match(new Error('x'), { message: /y/ })
  t.throws(() => {})
  await t.rejects(async () => {})
  t.ok(exports.t)
  throw new Error('sample')
})
sample.end()
writeFileSync(`${file}.cache`, script.createCachedData())
process.exit(0)
