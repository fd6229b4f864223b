// `npm run dev FILE`: runs one test, and again after each change of a source, until it is interrupted.
// TypeScript runs as it is (typescript.mjs), without coverage, and without dist/ where the test needs none. Of
// test/native/, the program is built and run.
import { spawnSync } from 'node:child_process'
import { existsSync, watch } from 'node:fs'
import { join, relative } from 'node:path'
import { needsDist } from './needs-dist.mjs'
import { fail, root, run } from './run.mjs'
import { results } from './tap.mjs'

const WATCHED = ['lib', 'types', 'native', 'test', 'examples', 'docs']
const SETTLED_MS = 50 // an editor saves in several steps

const [file, ...rest] = process.argv.slice(2)
if (!file || rest.length > 0 || !existsSync(file)) fail('usage: npm run dev FILE')
const test = relative(root, file)

const native = () =>
  spawnSync(process.execPath, ['scripts/test-native.mjs', test], { cwd: root, stdio: 'inherit' })

async function typescript() {
  const parts = needsDist(test) ? [] : ['--without-dist']
  const setUp = spawnSync(process.execPath, ['scripts/setup.mjs', ...parts], {
    cwd: root,
    stdio: 'inherit',
  })
  if (setUp.status !== 0) return
  // What an interrupted run has left goes first, as with npm test.
  const before = test.startsWith('test/kernel/') ? ['--import', './test/helpers/before.ts'] : []
  const args = ['--import', './scripts/typescript.mjs', ...before, test]
  const { ok, output } = await run(process.execPath, args)
  const { passed, failed, skipped } = results({ file: test, status: ok ? 0 : 1, output })
  if (failed > 0) console.log(output.trimEnd())
  console.log(`${test}: ${passed} passed, ${failed} failed, ${skipped} skipped`)
}

// A change while a test runs waits for its end: a kernel test that is killed leaves its groups.
let changed = true
let wake = () => {}
for (const directory of WATCHED) {
  watch(join(root, directory), { recursive: true }, () => {
    changed = true
    wake()
  })
}
for (;;) {
  if (!changed) await new Promise(resolve => (wake = resolve))
  await new Promise(resolve => setTimeout(resolve, SETTLED_MS))
  changed = false
  const began = Date.now()
  await (test.endsWith('.cc') ? native() : typescript())
  console.log(`${((Date.now() - began) / 1000).toFixed(1)} s\n`)
}
