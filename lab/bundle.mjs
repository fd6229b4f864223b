// A package and all that it requires as one source text with V8's code cache for it: node
// lab/bundle.mjs DIRECTORY. Run as a program of its own, because it traces what is loaded.
import { readFileSync, writeFileSync } from 'node:fs'
import Module, { createRequire, isBuiltin } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load as loadBundle } from './bundle-load.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)
const directory = process.argv[2]
const main = require.resolve('tap')
const id = file => relative(root, file)

// What each module asked for, and what it got.
const links = {}
const load = Module._load
Module._load = function (request, parent, ...rest) {
  if (parent?.filename && !isBuiltin(request)) {
    const file = Module._resolveFilename(request, parent)
    ;(links[id(parent.filename)] ??= {})[request] = id(file)
  }
  return load.call(this, request, parent, ...rest)
}

// Results of every kind, so that what is loaded only then is there as well.
const { t: tap, Test } = require('tap')
const sample = new Test({ name: 'sample' })
sample.resume()
await sample.test('results', async t => {
  t.same({ a: [1, new Map([[1, 2]])] }, { a: [2] })
  t.match(new Error('x'), { message: /y/ })
  t.throws(() => {})
  await t.rejects(async () => {})
  t.ok(tap)
  throw new Error('sample')
})
sample.end()

const used = Object.keys(require.cache).filter(file => file.startsWith(join(root, 'node_modules')))
const body = file =>
  file.endsWith('.json')
    ? `module.exports = ${readFileSync(file, 'utf8')}`
    : readFileSync(file, 'utf8')
        .replace(/^#!.*/, '')
        .replace(/^\/\/# sourceMappingURL.*$/m, '')
const modules = used.map(
  file =>
    `${JSON.stringify(id(file))}: function (exports, require, module, __filename, __dirname) {${body(file)}\n}`,
)
for (const file of used) links[id(file)] ??= {}
const source = `({ links: ${JSON.stringify(links)}, modules: {\n${modules.join(',\n')}\n} })`
writeFileSync(join(directory, 'bundle.txt'), source)

Module._load = load
const { script } = loadBundle(directory, root, id(main))
writeFileSync(join(directory, 'bundle.cache'), script.createCachedData())
process.exit(0)
