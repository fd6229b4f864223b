// The hooks of typescript.mjs: https://nodejs.org/api/module.html#customization-hooks
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compiled, isFresh } from './typescript-cache.mjs'

/** TypeScript's sources import what they will be compiled to: './x.js' is x.ts here. */
export async function resolve(specifier, context, next) {
  if (/^\.{1,2}\/.*\.js$/.test(specifier) && context.parentURL?.endsWith('.ts')) {
    const source = new URL(specifier.replace(/js$/, 'ts'), context.parentURL)
    if (existsSync(source)) return next(source.href, context)
  }
  return next(specifier, context)
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
  const file = fileURLToPath(url)
  if (!isFresh(file)) {
    const { compile } = await import('./typescript-compile.mjs')
    compile(file)
  }
  return { format: 'module', source: readFileSync(compiled(file), 'utf8'), shortCircuit: true }
}
