// Where this file is, in CommonJS.
import { join } from 'node:path'

export const here: string = __dirname

/** For file tracers: see dirname.ts. */
export const traced = (): string => join(__dirname, '../../../../prebuilds')
