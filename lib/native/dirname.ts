// Where this file is, in ESM. The CommonJS build has dirname-cjs.cts in its place, but type-checks
// this one too, and there import.meta is an error: hence the silenced line. A bundler that makes
// CommonJS of this file leaves import.meta empty, and __filename is the bundle's. Never throws:
// importing the package does not.
import { join, dirname as up } from 'node:path'
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

/**
 * The package's binaries, written so that a file tracer (@vercel/nft, which Next.js and serverless
 * platforms use) computes it and takes them along. Nothing else reads it.
 */
export function traced(): string | undefined {
  // eslint-disable-next-line @typescript-eslint/ban-ts-comment
  // @ts-ignore as above
  return url && join(up(fileURLToPath(import.meta.url)), '../../../../prebuilds')
}
