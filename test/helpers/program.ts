// The programs beside this file, by name: compiled or not, as this file itself is.
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { bareEnv } from './bare-env.js'

const here = import.meta.dirname
const own = extname(import.meta.filename)

export const helperProgram = (name: string): string => join(here, name + own)

let built: string | undefined

/** All of them and what they import, compiled, beside the library as it has been built. */
async function build(): Promise<string> {
  if (own === '.js') return here
  const { default: ts } = await import('typescript')
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
  const mine = join(process.cwd(), `build/programs.${process.pid}`)
  process.on('exit', () => rmSync(mine, { recursive: true, force: true }))
  mkdirSync(join(mine, 'test/helpers'), { recursive: true })
  symlinkSync(join(process.cwd(), 'dist/esm/lib'), join(mine, 'lib'))
  for (const file of readdirSync(here)) {
    const text = readFileSync(join(here, file), 'utf8')
    const { outputText } = ts.transpileModule(text, { compilerOptions, fileName: file })
    writeFileSync(join(mine, 'test/helpers', file.replace(/ts$/, 'js')), outputText)
  }
  return join(mine, 'test/helpers')
}

/**
 * The arguments of env(1) that start such a program as a user's is: with the loader of the test runner
 * each takes seconds to start.
 */
export async function bareProgram(
  name: string,
  env: Record<string, string> = {},
): Promise<string[]> {
  built ??= await build()
  const more = Object.entries(env).map(([key, value]) => `${key}=${value}`)
  return [...bareEnv(), ...more, process.execPath, join(built, `${name}.js`)]
}
