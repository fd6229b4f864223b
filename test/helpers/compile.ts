// The tests' own programs (test/native/<name>.c), compiled when a test first needs one.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = process.cwd()

/** The path of the program, static so that nothing of a caller's environment is loaded into it. */
export function compiled(name: string): string {
  const source = join(root, `test/native/${name}.c`)
  const program = join(root, `build/test/${name}`)
  if (!existsSync(program) || statSync(program).mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(join(root, 'build/test'), { recursive: true })
    const mine = `${program}.${process.pid}`
    execFileSync('cc', ['-O1', '-static', '-o', mine, source])
    renameSync(mine, program)
  }
  return program
}
