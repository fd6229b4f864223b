// The lab as the scripts use it: everything fetched and made when it is first needed, then boots.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { appendFileSync, copyFileSync, constants } from 'node:fs'
import { join } from 'node:path'
import { must, root } from '../scripts/run.mjs'
import { Apt } from './apt.mjs'
import { kernel } from './kernels.mjs'
import { boot } from './qemu.mjs'
import { base, runArchive } from './root.mjs'

const cache = join(root, '.cache/lab')
const ENVIRONMENT = {
  PATH: '/usr/bin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  TMPDIR: '/disk',
  TAP_TIMEOUT: '600',
}
const DISK = 512 * 1024 // KiB, sparse

/** Removes what runs that are gone have left: run-PID-N, and half-made parts of the cache. */
function sweep() {
  for (const name of readdirSync(cache)) {
    const pid = /^(?:run-|.*\.part-)(\d+)(?:-\d+)?$/.exec(name)?.[1]
    if (pid && !existsSync(`/proc/${pid}`)) rmSync(join(cache, name), { recursive: true })
  }
}

export class Lab {
  #apt
  #runs = 0
  #turn = Promise.resolve()
  #programs = join(cache, 'programs')

  constructor() {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      throw new Error('the lab is for x86-64 Linux')
    }
    mkdirSync(cache, { recursive: true })
    sweep()
    // So that whatever ends this process, its machine and its files go with it.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.once(signal, () => process.exit(1))
    }
    this.#apt = new Apt(join(cache, 'apt'))
  }

  /** What makes something in the cache, one after the other, also where several machines run at once. */
  #inTurn(work) {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => {})
    return mine
  }

  /** QEMU and busybox, unpacked into the cache. */
  async #tools() {
    if (existsSync(this.#programs)) return this.#programs
    console.error('lab: fetching QEMU …')
    const unpacked = `${this.#programs}.part-${process.pid}`
    await this.#apt.unpackAll(['qemu-system-x86', 'busybox-static'], unpacked)
    renameSync(unpacked, this.#programs)
    return this.#programs
  }

  /** A kernel, fetched when the cache has none of that version; rejects when it cannot be had. */
  kernel(wanted) {
    return this.#inTurn(() => kernel(this.#apt, cache, wanted))
  }

  /** The files of one run. */
  async #files(own, { version, argv, env = {}, archive }) {
    const programs = await this.#tools()
    const system = await base(cache, programs)
    mkdirSync(own)
    const initrd = join(own, 'initrd')
    copyFileSync(system, initrd, constants.COPYFILE_FICLONE)
    appendFileSync(initrd, await runArchive(cache, version, argv, { ...ENVIRONMENT, ...env }))
    if (archive) appendFileSync(initrd, archive)
    const log = join(own, 'console')
    writeFileSync(log, '')
    const disk = join(own, 'disk')
    writeFileSync(disk, '')
    truncateSync(disk, DISK * 1024)
    await must(join(programs, 'bin/busybox'), ['mke2fs', '-F', '-m', '0', disk, String(DISK)])
    return { programs, initrd, disk, console: log }
  }

  /**
   * Runs a command in a machine of its own. `options`: more of the kernel's; `counted`: a machine whose
   * time is instructions; `archive`: more files for its root (cpio.mjs).
   */
  async run({ kernel, seconds, output, ...machine }) {
    const own = join(cache, `run-${process.pid}-${this.#runs++}`)
    const clear = () => rmSync(own, { recursive: true, force: true })
    process.once('exit', clear)
    try {
      const parts = await this.#inTurn(() => this.#files(own, machine))
      const { memory = 1024, options = [], counted = false } = machine
      const how = { kernel: kernel.file, seconds, memory, options, counted, output }
      return await boot({ ...parts, ...how })
    } finally {
      process.off('exit', clear)
      clear()
    }
  }
}
