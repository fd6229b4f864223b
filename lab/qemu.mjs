// One boot: a kernel and archives in, the command's output and its exit status out. Software emulation
// alone (no KVM), no privileges: "The lab" in CONTRIBUTING.md. The first serial port is the console, the
// second one the command's output; the machine is a pc, since most boots of a microvm fail.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const KERNEL_OPTIONS = [
  'console=ttyS0',
  'panic=-1',
  'quiet',
  'loglevel=4',
  'psi=1',
  'lpj=8000000',
  'tsc=reliable',
  'random.trust_cpu=on',
  'audit=0',
  'cryptomgr.notests=1',
  'mitigations=off',
  'nokaslr',
  // On a busy machine the check finds too few ticks, and the kernel panics.
  'no_timer_check',
]

/** The unpacked program with its own loader and libraries: whatever C library this machine has. */
export function qemuCommand(programs, name = 'qemu-system-x86_64') {
  const at = path => join(programs, path)
  const libraries = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'].map(at).join(':')
  const firmware = ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'].map(at)
  return {
    file: at('lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'),
    args: [
      '--library-path',
      libraries,
      at(`usr/bin/${name}`),
      ...firmware.flatMap(directory => ['-L', directory]),
    ],
    // Debian builds the emulation itself as a module.
    env: { ...process.env, QEMU_MODULE_DIR: at('usr/lib/x86_64-linux-gnu/qemu') },
  }
}

// In the guest a second is a fixed number of instructions, of one processor: what the host is doing does
// not show in what is measured there.
const COUNTED = ['-accel', 'tcg,thread=single', '-icount', 'shift=2', '-smp', '1']
const USUAL = ['-accel', 'tcg,thread=multi', '-smp', '2']

/**
 * Boots. `output` is given what the command writes as it comes. Resolves with { status, console }:
 * status is undefined when the machine ended without printing one, or had to be ended.
 */
export function boot(parts) {
  const { programs, kernel, initrd, disk, console: log } = parts
  const { seconds, memory, options, counted, output } = parts
  const { file, args, env } = qemuCommand(programs)
  const append = [...KERNEL_OPTIONS, ...options].join(' ')
  const machine = [
    ...(counted ? COUNTED : USUAL),
    ...['-cpu', 'max', '-M', 'pc', '-m', String(memory)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', append],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
    ...['-drive', `file=${disk},format=raw,if=none,id=disk,cache=unsafe`],
    ...['-device', 'nvme,drive=disk,serial=lab'],
    ...['-serial', `file:${log}`, '-serial', 'stdio'],
  ]
  return new Promise((resolve, reject) => {
    const child = spawn(file, [...args, ...machine], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const limit = setTimeout(() => child.kill('SIGKILL'), seconds * 1000)
    const end = () => child.kill('SIGKILL')
    process.once('exit', end)
    let complaints = ''
    child.stdout.on('data', output)
    child.stderr.on('data', text => (complaints += text))
    child.on('error', reject)
    child.on('close', (_, signal) => {
      clearTimeout(limit)
      process.off('exit', end)
      let text = ''
      try {
        text = readFileSync(log, 'utf8')
      } catch {}
      const status = /^lab: exit status (\d+)/m.exec(text)?.[1]
      const late = signal === 'SIGKILL' ? `lab: ended after ${seconds} s\n` : ''
      resolve({ status: status && Number(status), console: text + complaints + late })
    })
  })
}
