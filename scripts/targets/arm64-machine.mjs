// A machine of arm64 that boots Debian's kernel, emulated as a whole: what the lab is for x86-64, for one
// command. Its root is Node.js with Debian's C library, busybox and the package.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Apt } from '../../lab/apt.mjs'
import { Archive } from '../../lab/cpio.mjs'
import { qemuCommand } from '../../lab/qemu.mjs'
import { must, root } from '../run.mjs'
import { nodeForArm64 } from './runtimes.mjs'
import { cache, SUITES, toolchain, unpacked } from './toolchain.mjs'

const SECONDS = 300
const OPTIONS =
  'console=ttyAMA0 panic=-1 quiet loglevel=4 psi=1 lpj=8000000 random.trust_cpu=on nokaslr lab.bare'

async function qemu() {
  const directory = join(cache, 'qemu-system-arm')
  if (existsSync(directory)) return directory
  console.error("fetching qemu-system-arm from Debian's archive …")
  const part = `${directory}.part-${process.pid}`
  mkdirSync(part, { recursive: true })
  await new Apt(join(cache, 'apt-qemu'), { suites: SUITES }).unpackAll(['qemu-system-arm'], part)
  renameSync(part, directory)
  return directory
}

async function kernel() {
  const apt = new Apt(join(cache, `apt-${SUITES.debian[0]}`), {
    suites: SUITES,
    foreign: ['arm64'],
  })
  const [name] = await apt.dependencies('linux-image-cloud-arm64:arm64')
  if (name === undefined) throw new Error("Debian's archive has no kernel for arm64 now")
  const directory = await unpacked('kernel-arm64', [name.includes(':') ? name : `${name}:arm64`])
  const file = readdirSync(join(directory, 'boot')).find(one => one.startsWith('vmlinuz'))
  return join(directory, 'boot', file)
}

async function archiveOf(directory, version, argv) {
  const chain = await toolchain()
  const part = chain.of('arm64')
  const archive = new Archive()
  for (const name of ['proc', 'sys', 'dev', 'tmp', 'root']) archive.directory(name)
  const init = join(cache, `init.part-${process.pid}`)
  const libc = [join(part.muslLib, 'crt1.o'), join(part.muslLib, 'crti.o'), 'lab/init.c']
  const ends = [
    join(part.muslLib, 'libc.a'),
    join(part.gcc, 'libgcc.a'),
    join(part.muslLib, 'crtn.o'),
  ]
  const headers = [part.muslInclude, join(part.gcc, 'include'), part.kernel]
  const how = [
    '-O1',
    '-static',
    '-nostdlib',
    '-nostdinc',
    ...headers.flatMap(path => ['-isystem', path]),
  ]
  await must(part.program('gcc-12'), [...how, '-D_GNU_SOURCE', '-o', init, ...libc, ...ends], {
    env: chain.env,
    cwd: root,
  })
  archive.program('init', init)
  rmSync(init)
  const busybox = join(await unpacked('busybox-arm64', ['busybox-static:arm64']), 'bin/busybox')
  archive.program('bin/busybox', busybox)
  for (const applet of ['awk', 'cat', 'sh', 'tail']) archive.link(`bin/${applet}`, 'busybox')
  const { node, libraries } = await nodeForArm64()
  archive.program('usr/bin/node', node)
  archive.copy('lib', libraries, path => !/\.(a|o)$/.test(path))
  archive.copy('project/package', directory, path => !/linux-(x64|arm64-musl)/.test(path))
  archive.copy('project/target.mjs', join(root, 'test/runtimes/target.mjs'))
  const strings = list => list.map(text => `${text}\0`).join('')
  archive.file('lab/cgroup', strings([version]))
  archive.file('lab/argv', strings(argv))
  archive.file('lab/env', strings(['PATH=/usr/bin:/bin', 'HOME=/root', 'TMPDIR=/tmp']))
  return archive.bytes()
}

/** Runs target.mjs with these checks on cgroup `version` ("v1", "v2"); all that the machine has printed. */
export async function inArm64Machine(directory, version, checks) {
  const programs = await qemu()
  const image = await kernel()
  const package_ = '/project/package'
  const expected = `${package_}/prebuilds/linux-arm64-glibc`
  const argv = ['/usr/bin/node', '/project/target.mjs', package_, expected, ...checks]
  const initrd = join(cache, `initrd-${process.pid}-${version}`)
  writeFileSync(initrd, await archiveOf(directory, version, argv))
  const { file, args, env } = qemuCommand(programs, 'qemu-system-aarch64')
  const machine = [
    ...['-M', 'virt', '-cpu', 'max', '-smp', '2', '-m', '1536', '-accel', 'tcg,thread=multi'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...['-kernel', image, '-initrd', initrd, '-append', OPTIONS],
  ]
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(file, [...args, ...machine], { env, stdio: ['ignore', 'pipe', 'pipe'] })
      const limit = setTimeout(() => child.kill('SIGKILL'), SECONDS * 1000)
      let text = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', part => (text += part))
      child.on('error', reject)
      child.on('close', () => {
        clearTimeout(limit)
        resolve(text.replaceAll('\r', ''))
      })
    })
  } finally {
    rmSync(initrd, { force: true })
  }
}
