// Whether a test file starts processes that load dist/: it or a helper that it imports names it.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './run.mjs'

export function needsDist(file, seen = new Set()) {
  const path = join(root, file)
  if (seen.has(file) || !file.startsWith('test/') || !existsSync(path)) return false
  seen.add(file)
  const text = readFileSync(path, 'utf8')
  const imports = [...text.matchAll(/ from '(\.[^']+)\.js'|^import '(\.[^']+)\.js'/gm)]
  return (
    /\bdist\//.test(text) ||
    imports.some(([, a, b]) => needsDist(`${join(dirname(file), a ?? b)}.ts`, seen))
  )
}
