// The last bytes of a stream, as text.
import type { Readable } from 'node:stream'

export class Tail {
  readonly ended: Promise<void>
  readonly #limit: number
  #chunks: Buffer[] = []
  #size = 0

  constructor(stream: Readable, limit: number) {
    this.#limit = limit
    stream.on('data', (chunk: Buffer) => this.#add(chunk))
    this.ended = new Promise(resolve => stream.once('close', resolve))
  }

  #add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    while (this.#size - this.#chunks[0]!.length >= this.#limit) {
      this.#size -= this.#chunks.shift()!.length
    }
  }

  text(): string {
    const all = Buffer.concat(this.#chunks)
    let start = Math.max(0, all.length - this.#limit)
    // Not in the middle of a character.
    while (start > 0 && start < all.length && (all[start]! & 0xc0) === 0x80) start++
    return all.toString('utf8', start)
  }
}
