// Whether a native file of the package is what it was when it was built: what archives, image
// layers and artifact stores do to files. elf(5). Pure over the file's bytes and this machine.
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'

/** What is wrong with a file, and what to do about it. */
export interface Fault {
  /** Of the errno that using it gives. */
  code: 'EACCES' | 'ENOEXEC' | 'ENOENT'
  reason: string
  remedy: string
}

const REINSTALL =
  'install the package again on the platform where it runs (a copied node_modules may be of another one)'

// e_machine by process.arch.
const MACHINES: Partial<Record<NodeJS.Architecture, number>> = {
  ia32: 3,
  s390x: 22,
  arm: 40,
  x64: 62,
  arm64: 183,
  riscv64: 243,
  loong64: 258,
}
const PT_INTERP = 3

const broken = (reason: string): Fault => ({ code: 'ENOEXEC', reason, remedy: REINSTALL })

/** Reads numbers of the file's own byte order and width. */
class Header {
  readonly wide: boolean
  readonly #little: boolean

  constructor(readonly bytes: Buffer) {
    this.wide = bytes[4] === 2
    this.#little = bytes[5] === 1
  }

  half(at: number): number {
    return this.#little ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at)
  }
  word(at: number): number {
    return this.#little ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at)
  }
  /** An address or offset. */
  offset(at: number): number {
    if (!this.wide) return this.word(at)
    return Number(this.#little ? this.bytes.readBigUInt64LE(at) : this.bytes.readBigUInt64BE(at))
  }
}

interface Segment {
  type: number
  from: number
  size: number
}

function segments(header: Header, table: Buffer, each: number): Segment[] {
  const { wide, bytes } = header
  const found: Segment[] = []
  for (let at = 0; at + each <= table.length; at += each) {
    const one = new Header(Buffer.concat([bytes.subarray(0, 16), table.subarray(at, at + each)]))
    found.push({
      type: one.word(16),
      from: one.offset(16 + (wide ? 8 : 4)),
      size: one.offset(16 + (wide ? 32 : 16)),
    })
  }
  return found
}

function read(fd: number, from: number, size: number): Buffer {
  const buffer = Buffer.alloc(size)
  return buffer.subarray(0, readSync(fd, buffer, 0, size, from))
}

/** What is wrong with an ELF file that is there; undefined: nothing that can be seen. */
export function elfFault(
  file: string,
  arch: NodeJS.Architecture = process.arch,
): Fault | undefined {
  const fd = openSync(file, 'r')
  try {
    const { size } = fstatSync(fd)
    const bytes = read(fd, 0, 64)
    if (bytes.subarray(0, 4).toString('latin1') !== '\x7fELF') {
      return broken(size === 0 ? 'it is empty' : 'it is no ELF file')
    }
    if (bytes.length < 64) return broken(`it is truncated (${size} bytes)`)
    const header = new Header(bytes)
    const machine = MACHINES[arch]
    if (machine !== undefined && header.half(18) !== machine) {
      const [other] = Object.entries(MACHINES).find(([, n]) => n === header.half(18)) ?? []
      return broken(`it is for ${other ?? 'another architecture'}, and this is ${arch}`)
    }
    const { wide } = header
    const from = header.offset(wide ? 32 : 28)
    const each = header.half(wide ? 54 : 42)
    const table = read(fd, from, each * header.half(wide ? 56 : 44))
    const list = segments(header, table, each)
    const end = Math.max(
      from + each * header.half(wide ? 56 : 44),
      ...list.map(s => s.from + s.size),
    )
    if (size < end) return broken(`it is truncated (${size} bytes of at least ${end})`)
    const loader = list.find(({ type }) => type === PT_INTERP)
    if (loader === undefined) return undefined
    const path = read(fd, loader.from, loader.size).toString().replace(/\0.*$/s, '')
    return existsSync(path)
      ? undefined
      : {
          code: 'ENOENT',
          reason: `it needs the dynamic loader ${path}, which is not there`,
          remedy: REINSTALL,
        }
  } finally {
    closeSync(fd)
  }
}
