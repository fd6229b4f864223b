// Stands for the package tap inside the booted machine: one file, with V8's code cache (bundle.mjs).
// Loading its 270 files one by one takes ten seconds of emulated time in each test file.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import vm from 'node:vm'

/** What the bundle exports, and its script. */
export function load(file) {
  let cachedData
  try {
    cachedData = readFileSync(`${file}.cache`)
  } catch {}
  const script = new vm.Script(readFileSync(file, 'utf8'), {
    filename: file,
    cachedData,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file))
  return { exports: module.exports, script }
}
