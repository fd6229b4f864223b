// A machine of the lab in which systemd is process 1: Debian's packages, unpacked into the cache, and a unit
// that runs commands and ends the machine with the status of the last.
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Apt } from './apt.mjs'

/** Its units want D-Bus, and it wants its link to be process 1. */
export const SYSTEMD = ['systemd', 'systemd-sysv', 'dbus', 'util-linux', 'mount']

/** The kernel's options, for a unit that addUnit() has made. */
export const optionsFor = unit => ['rdinit=/lib/systemd/systemd', `systemd.unit=${unit}.service`]

const unwanted = /\/usr\/share\/(doc|man|locale|info|i18n|zoneinfo|bash-completion|perl)$|\/debs$/

/** Adds unpacked packages to a machine's files, without what no program reads. */
export const addPackages = (archive, directory) =>
  archive.copy('', directory, path => !unwanted.test(path))

/** Packages with all that they depend on, in `cache`/`name`: the directory and the version of the first. */
export async function unpacked(cache, name, packages) {
  const directory = join(cache, name)
  const apt = new Apt(join(cache, 'apt'))
  const archives = join(cache, 'apt/archives')
  const versionOf = () => {
    const deb = readdirSync(archives).find(file => file.startsWith(`${packages[0]}_`))
    return deb && decodeURIComponent(deb.split('_')[1])
  }
  for (const file of readdirSync(archives).filter(file => file.endsWith('.deb'))) {
    rmSync(join(archives, file))
  }
  console.error(`fetching ${packages.join(', ')} …`)
  rmSync(directory, { recursive: true, force: true })
  const part = `${directory}.part-${process.pid}`
  mkdirSync(part, { recursive: true })
  await apt.unpackAll(packages, part)
  renameSync(part, directory)
  return { directory, version: versionOf() }
}

/** What a user is in the machine's files: name, number. */
const user = ([name, id]) => `${name}:x:${id}:${id}::/:/bin/sh\n`
const group = ([name, id]) => `${name}:x:${id}:\n`

/**
 * The unit `name`: lines of its [Unit] and [Service] sections, the users that there have to be, and what it runs, in
 * the project's directory with /disk as TMPDIR.
 */
export function addUnit(archive, name, { unit = [], service = [], users = [], env = {}, script }) {
  const all = [['messagebus', 100], ...users]
  const base = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n'
  archive.file('etc/passwd', `${base}${all.map(user).join('')}`)
  archive.file('etc/group', `root:x:0:\nnogroup:x:65534:\n${all.map(group).join('')}`)
  archive.file('etc/machine-id', '0123456789abcdef0123456789abcdef\n')
  archive.file(
    `etc/systemd/system/${name}.service`,
    `[Unit]
Wants=dbus.service
After=dbus.service
${unit.join('\n')}
[Service]
Type=exec
ExecStart=/bin/busybox sh /lab/${name}.sh
${service.join('\n')}
`,
  )
  const exported = Object.entries({ PATH: '/usr/bin:/bin', HOME: '/root', TMPDIR: '/disk', ...env })
  archive.file(
    `lab/${name}.sh`,
    `exec >/dev/ttyS1 2>&1
/bin/busybox stty -F /dev/ttyS1 raw
/bin/busybox mkdir -p /disk
/bin/busybox mount -t ext4 /dev/nvme0n1 /disk
${exported.map(([key, value]) => `export ${key}='${value}'`).join('\n')}
cd /project
${script}
status=$?
/bin/busybox sleep 1
printf '\\nlab: exit status %d\\n' $status >/dev/ttyS0
/bin/busybox sleep 1
echo o >/proc/sysrq-trigger
/bin/busybox sleep 10
`,
  )
}
