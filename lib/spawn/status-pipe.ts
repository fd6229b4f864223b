// Reads a pipe to its end without a thread that waits: each runtime has its own way.
import { createReadStream } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { engine } from '../base/engine.js'
import { binding } from '../native/addon.js'

export interface PipeReader {
  /** Reads no more, and closes the descriptor. */
  destroy: () => void
}

interface BunLike {
  file: (fd: number) => { stream: () => AsyncIterable<Uint8Array> }
}

/**
 * Takes `fd` over. `done` is called once, with all that was read, or undefined if reading failed; the event loop stays
 * alive until then.
 */
export function readPipe(fd: number, done: (text: Buffer | undefined) => void): PipeReader {
  const chunks: Uint8Array[] = []
  if (engine === 'bun') {
    // Its net.Socket never says that a pipe has ended.
    const { Bun } = globalThis as unknown as { Bun: BunLike }
    let destroyed = false
    const read = async (): Promise<void> => {
      for await (const chunk of Bun.file(fd).stream()) chunks.push(chunk)
    }
    void read().then(
      () => destroyed || done(Buffer.concat(chunks)),
      () => destroyed || done(undefined),
    )
    return { destroy: () => void (destroyed = true) }
  }
  // Deno's net.Socket knows no pipes. Its files wait in threads of their own, of which there are 512; Node.js's
  // would keep one of the four that all file system calls share.
  const stream: Readable =
    engine === 'deno'
      ? createReadStream('', { fd })
      : new Socket({ fd, readable: true, writable: false })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', () => done(undefined))
  stream.on('end', () => done(Buffer.concat(chunks)))
  return { destroy: () => void stream.destroy() }
}

/** Closes what a child has been given; Deno's spawn() has closed it already. */
export function closePassed(fds: readonly number[]): void {
  if (engine === 'deno') return
  for (const fd of fds) binding().closeFd(fd)
}
