// Where typescript.mjs keeps what it has compiled.
import { statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from './run.mjs'

export const compiled = file => join(root, '.cache/typescript', `${relative(root, file)}.mjs`)

const changed = file => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? -Infinity

export const isFresh = file => changed(compiled(file)) > changed(file)
