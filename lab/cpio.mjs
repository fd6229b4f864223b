// Archives that the kernel unpacks at boot (cpio, "newc": Documentation/driver-api/early-userspace/
// buffer-format.rst). Several may follow one another; a later entry replaces an earlier one.
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'

const DIRECTORY = 0o040755
const FILE = 0o100644
const PROGRAM = 0o100755
const LINK = 0o120777

const pad = length => Buffer.alloc((4 - (length % 4)) % 4)

export class Archive {
  #chunks = []
  #entries = new Set()

  #add(path, mode, data) {
    const name = path.replace(/^\//, '')
    if (this.#entries.has(name)) return
    this.#entries.add(name)
    const up = dirname(name)
    if (up !== '.' && !this.#entries.has(up)) this.directory(up)
    const label = Buffer.from(`${name}\0`)
    const numbers = [this.#entries.size, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, label.length, 0]
    const header = `070701${numbers.map(n => n.toString(16).padStart(8, '0')).join('')}`
    this.#chunks.push(
      Buffer.from(header),
      label,
      pad(header.length + label.length),
      data,
      pad(data.length),
    )
  }

  directory(path) {
    this.#add(path, DIRECTORY, Buffer.alloc(0))
  }
  file(path, data) {
    this.#add(path, FILE, Buffer.from(data))
  }
  program(path, source) {
    this.#add(path, PROGRAM, readFileSync(source))
  }
  link(path, target) {
    this.#add(path, LINK, Buffer.from(target))
  }

  /** A file or a whole directory of this machine; `wanted` decides on each name below it. */
  copy(path, source, wanted = () => true) {
    const stat = lstatSync(source)
    if (stat.isSymbolicLink()) return this.link(path, readlinkSync(source))
    if (stat.isFile())
      return this.#add(path, stat.mode & 0o100 ? PROGRAM : FILE, readFileSync(source))
    if (!stat.isDirectory()) return
    this.directory(path)
    for (const name of readdirSync(source)) {
      const from = join(source, name)
      if (wanted(from)) this.copy(join(path, name), from, wanted)
    }
  }

  /** All of it, ended; padded, so that another archive may follow. */
  bytes() {
    this.#add('TRAILER!!!', 0, Buffer.alloc(0))
    const all = Buffer.concat(this.#chunks)
    return Buffer.concat([all, Buffer.alloc((512 - (all.length % 512)) % 512)])
  }
}
