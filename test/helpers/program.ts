// The programs beside this file, by name: compiled or not, as this file itself is.
import { extname, join } from 'node:path'

export const helperProgram = (name: string): string =>
  join(import.meta.dirname, name + extname(import.meta.filename))
