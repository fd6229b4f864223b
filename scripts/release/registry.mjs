// A registry of npm on loopback that has one package: what each package manager installs from, by name, as from the
// real one. It knows no other package, so that an install which needs one fails.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { basename } from 'node:path'

// Managers that refuse what is younger than some days take it for old.
const PUBLISHED = '2020-01-01T00:00:00.000Z'

/** { url, close() }. */
export async function serve(tarball, manifest) {
  const data = readFileSync(tarball)
  const { name, version } = manifest
  const file = `/${name}/-/${basename(tarball)}`
  const digest = (algorithm, encoding) => createHash(algorithm).update(data).digest(encoding)
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://registry')
    const dist = {
      tarball: `${url}${file.slice(1)}`,
      shasum: digest('sha1', 'hex'),
      integrity: `sha512-${digest('sha512', 'base64')}`,
    }
    const one = { ...manifest, _id: `${name}@${version}`, dist }
    const all = {
      name,
      'dist-tags': { latest: version },
      versions: { [version]: one },
      time: { created: PUBLISHED, modified: PUBLISHED, [version]: PUBLISHED },
    }
    if (pathname === file) response.end(data)
    else if (pathname === `/${name}`) response.end(JSON.stringify(all))
    else if (pathname === `/${name}/${version}`) response.end(JSON.stringify(one))
    else response.writeHead(404).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}/`
  return { url, close: () => server.close() }
}
