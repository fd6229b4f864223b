// Where this file is, in ESM. The CommonJS build has dirname-cjs.cts in its place, but type-checks
// this one too, and there import.meta is an error: hence the silenced line.
import { createRequire } from 'node:module'
import { dirname as up } from 'node:path'
import { fileURLToPath } from 'node:url'

// eslint-disable-next-line @typescript-eslint/ban-ts-comment
// @ts-ignore see above
const url: string = import.meta.url

export const here: string = up(fileURLToPath(url))
export const requireFrom: NodeJS.Require = createRequire(url)
