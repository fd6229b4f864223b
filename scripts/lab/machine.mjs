// The lab as the scripts use it: everything fetched and made when it is first needed, then boots.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { appendFileSync, copyFileSync, constants, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must, root } from '../run.mjs'
import { Apt } from './apt.mjs'
import { kernel } from './kernels.mjs'
import { boot } from './qemu.mjs'
import { base, runArchive } from './root.mjs'

const cache = join(root, '.cache/lab')
const ENVIRONMENT = { PATH: '/usr/bin:/bin', HOME: '/root', LANG: 'C.UTF-8' }

// An empty ext4, for what a file system in memory does not have: page cache that can be reclaimed.
// The machine goes without where this one cannot make it.
async function makeDisk(file) {
  const mke2fs = ['/sbin/mke2fs', '/usr/sbin/mke2fs'].find(existsSync)
  if (!mke2fs) return undefined
  writeFileSync(file, '')
  truncateSync(file, 1024 * 1024 * 1024)
  await must(mke2fs, ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', file])
  return file
}

export class Lab {
  #apt
  #programs = join(cache, 'programs')

  constructor() {
    if (process.platform !== 'linux' || process.arch !== 'x64')
      throw new Error('the lab is for x86-64 Linux')
    mkdirSync(cache, { recursive: true })
    this.#apt = new Apt(join(cache, 'apt'))
  }

  /** QEMU and busybox, unpacked into the cache. */
  async #tools() {
    if (existsSync(this.#programs)) return this.#programs
    console.error('lab: fetching QEMU …')
    const unpacked = `${this.#programs}.${process.pid}`
    await this.#apt.unpackAll(['qemu-system-x86', 'busybox-static'], unpacked)
    renameSync(unpacked, this.#programs)
    return this.#programs
  }

  /** A kernel, fetched when the cache has none of that version; rejects when it cannot be had. */
  kernel(wanted) {
    return kernel(this.#apt, cache, wanted)
  }

  /** Runs a command in a machine of its own. */
  async run({ kernel, version, argv, env = {}, seconds, memory = 1024, output }) {
    const programs = await this.#tools()
    const system = await base(cache, programs)
    const own = mkdtempSync(join(cache, 'run-'))
    try {
      const initrd = join(own, 'initrd')
      copyFileSync(system, initrd, constants.COPYFILE_FICLONE)
      appendFileSync(initrd, await runArchive(cache, version, argv, { ...ENVIRONMENT, ...env }))
      const log = join(own, 'console')
      writeFileSync(log, '')
      return await boot({
        programs,
        kernel: kernel.file,
        initrd,
        console: log,
        seconds,
        memory,
        output,
        disk: await makeDisk(join(own, 'disk')),
      })
    } finally {
      rmSync(own, { recursive: true, force: true })
    }
  }
}
