// Where this file is, in CommonJS.
import { join } from 'node:path'

export const here: string = __dirname

/** For file tracers: see dirname.ts. They do not look into an arrow function without a block. */
export function traced(): string {
  return join(__dirname, '../../../../prebuilds')
}
