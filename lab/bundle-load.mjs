// Stands for the package tap inside the booted machine: its modules in one file, with V8's code cache
// (bundle.mjs). Loading the 270 files one by one takes ten seconds of emulated time in each test file.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import vm from 'node:vm'

const require = createRequire(import.meta.url)

/** `root`: what the modules' names are relative to. */
export function load(directory, root, main) {
  const source = readFileSync(join(directory, 'bundle.txt'), 'utf8')
  let cachedData
  try {
    cachedData = readFileSync(join(directory, 'bundle.cache'))
  } catch {}
  const script = new vm.Script(source, {
    filename: join(directory, 'bundle.txt'),
    cachedData,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  const { modules, links } = script.runInThisContext()
  const loaded = new Map()
  const get = id => {
    const known = loaded.get(id)
    if (known) return known.exports
    const filename = join(root, id)
    const module = { id: filename, filename, exports: {}, children: [], paths: [], loaded: false }
    loaded.set(id, module)
    const own = request => (links[id][request] ? get(links[id][request]) : require(request))
    own.resolve = require.resolve
    own.cache = {}
    modules[id].call(module.exports, module.exports, own, module, filename, dirname(filename))
    module.loaded = true
    return module.exports
  }
  return { exports: get(main), script }
}
