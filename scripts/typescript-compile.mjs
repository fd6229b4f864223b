// Compiles TypeScript for typescript.mjs; run as a program, all of lib, types, test and bench that has changed.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { transformSync } from 'esbuild'
import { files, root } from './run.mjs'
import { compiled, isFresh } from './typescript-cache.mjs'

export function compile(file) {
  const { code } = transformSync(readFileSync(file, 'utf8'), {
    loader: 'ts',
    target: 'node20',
    sourcefile: file,
    sourcemap: 'inline',
    sourcesContent: false,
  })
  const path = compiled(file)
  mkdirSync(dirname(path), { recursive: true })
  // Whole or not at all, also where two processes compile the same file.
  writeFileSync(`${path}.${process.pid}`, code)
  renameSync(`${path}.${process.pid}`, path)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const all = ['lib', 'types', 'test', 'bench'].flatMap(part => files(part, ['.ts']))
  for (const file of all.map(name => join(root, name)).filter(file => !isFresh(file))) compile(file)
}
