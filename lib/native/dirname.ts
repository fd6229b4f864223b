// Where this file is, in ESM. The CommonJS build has dirname-cjs.cts in its place, but type-checks
// this one too, and there import.meta is an error: hence the silenced line. A bundler that makes
// CommonJS of this file leaves import.meta empty, and __filename is the bundle's. Never throws:
// importing the package does not.
import { dirname as up } from 'node:path'
import { fileURLToPath } from 'node:url'

// eslint-disable-next-line @typescript-eslint/ban-ts-comment
// @ts-ignore see above
const url: string | undefined = import.meta.url

function directory(): string {
  try {
    return up(url === undefined ? __filename : fileURLToPath(url))
  } catch {
    return process.cwd()
  }
}

export const here: string = directory()
