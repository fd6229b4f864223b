// Every failure is an OomError with a stable code. Those of a system call are made from one table.
import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import { brand, ERROR, isInstance } from './brand.js'

/**
 * What the addon throws: with errno (negative), syscall and file; those that no system call told have the
 * code of native/core/sys/codes.h instead.
 */
export interface NativeFailure extends Error {
  errno: number
  code?: string
  syscall?: string
  file?: string
}

export interface OomErrorDetails {
  /** Negative, as Node's own system errors have it. */
  errno?: number | undefined
  syscall?: string | undefined
  path?: string | undefined
  cause?: unknown
}

/** Any failure of this package but a bad argument, which is a TypeError or RangeError. */
export class OomError extends Error {
  override readonly name = 'OomError'
  readonly code: string
  declare readonly errno?: number
  declare readonly syscall?: string
  declare readonly path?: string

  static {
    brand(this.prototype, ERROR, true)
  }

  /** Also those of another copy of this package: ESM and CommonJS. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(this, OomError, ERROR, value)
  }

  constructor(code: string, message: string, details: OomErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    const { errno, syscall, path } = details
    Object.assign(
      this,
      errno === undefined ? {} : { errno },
      syscall === undefined ? {} : { syscall },
      path === undefined ? {} : { path },
    )
  }
}

// errno 95 has two names. Node.js uses the one of sockets; the kernel and the manual pages of cgroups
// use the other one, which is the documented code.
const BY_KERNEL: Record<string, { name: string; text: string }> = {
  ENOTSUP: { name: 'EOPNOTSUPP', text: 'operation not supported' },
}

/** 'ENOENT' for -2. */
export function errnoName(errno: number): string {
  const name = getSystemErrorMap().get(errno)?.[0]
  if (name !== undefined) return BY_KERNEL[name]?.name ?? name
  // What Node.js has no text for: EDEADLK.
  return (
    Object.entries(constants.errno).find(([, number]) => number === -errno)?.[0] ?? `E${-errno}`
  )
}

/** 'no such file or directory' for -2. */
function errnoText(errno: number): string {
  const [name, text] = getSystemErrorMap().get(errno) ?? ['', 'unknown error']
  return BY_KERNEL[name]?.text ?? text
}

// The remedy by errno and file (a prefix of the control file's name or, where there is no file, of the
// system call's; '' for any). The longest prefix that matches counts, wherever its row stands.
export const REMEDIES: readonly [code: string, file: string, text: string][] = [
  [
    'EBUSY',
    'memory.limit_in_bytes',
    'the group uses more than this and the kernel could not reclaim enough: free or kill first',
  ],
  [
    'EBUSY',
    'memory.memsw.limit_in_bytes',
    'the group uses more memory and swap than this: free or kill first',
  ],
  [
    'EBUSY',
    'memory.max',
    'the group uses more than this and the kernel could not reclaim enough: free or kill first',
  ],
  [
    'EBUSY',
    'cgroup.subtree_control',
    'a group with processes of its own cannot give controllers to groups below (the no-internal-process rule of cgroup v2): move them into a group below it first',
  ],
  [
    'EBUSY',
    'cgroup.procs',
    'a group that gives controllers to groups below it (cgroup.subtree_control) cannot have processes of its own: add them to one of those',
  ],
  ['EBUSY', 'cgroup.freeze', 'a group above keeps it frozen: thaw that one'],
  [
    'ENOENT',
    'cgroup.subtree_control',
    'the group itself has no memory controller to give: enable it in the groups above',
  ],
  ['EOPNOTSUPP', 'cgroup.procs', "the group is threaded or 'domain invalid': see its cgroup.type"],
  [
    'EACCES',
    'cgroup.procs',
    'moving a process needs write access to the cgroup.procs of the group that both are below, which delegation ends at: start it inside, or run as root',
  ],
  [
    'EACCES',
    'cgroup.subtree_control',
    'the group above is not delegated to this user: enable memory there as root, or have it delegated (Delegate=yes in a systemd unit)',
  ],
  ['EBUSY', 'freezer.parent_freezing', 'a freezer group above keeps it frozen: thaw that one'],
  ['EINVAL', 'memory.memsw.limit_in_bytes', 'a limit was changed by somebody else meanwhile'],
  ['EINVAL', 'memory.limit_in_bytes', 'a limit was changed by somebody else meanwhile'],
  [
    'EMFILE',
    'oom-guardian',
    'the guardian needs ten descriptors a group: raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)',
  ],
  [
    'EAGAIN',
    'oom-guardian',
    'no more processes are allowed: raise RLIMIT_NPROC (ulimit -u) or pids.max',
  ],
  ['ENOSPC', 'oom-guardian', 'a process can guard 43,008 groups'],
  [
    'EPERM',
    'oom-guardian',
    'this process has become another user since it began to guard, and its guardian has not: dispose all guards from before, or begin to guard after the change',
  ],
  [
    'EMFILE',
    '',
    'too many open files: raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=); a watch has one or two descriptors, a guard six for each group',
  ],
  [
    'EAGAIN',
    '',
    'no more threads or processes are allowed: raise RLIMIT_NPROC (ulimit -u) or pids.max',
  ],
  ['ENODEV', '', 'the group has been removed'],
  ['ENOENT', 'memory.pressure_level', 'the group has been removed'],
  [
    'ENOENT',
    'memory.pressure',
    'the group has been removed, or the kernel has no PSI for groups: CONFIG_PSI, psi=1',
  ],
  [
    'EOPNOTSUPP',
    'memory.pressure',
    "pressure stall information is off: boot with psi=1, or write 1 into the group's cgroup.pressure",
  ],
  ['EINVAL', 'memory.pressure', 'without CAP_SYS_RESOURCE windowMs must be a multiple of 2000'],
  ['EPERM', 'memory.pressure', 'this kernel wants CAP_SYS_RESOURCE for it'],
  ['ENOENT', 'memory.', 'the group has been removed'],
  ['ENOENT', 'cgroup.', 'the group has been removed'],
  ['ENOSPC', 'inotify', 'raise the sysctl fs.inotify.max_user_watches'],
  ['EMFILE', 'inotify', 'raise the sysctl fs.inotify.max_user_instances, or RLIMIT_NOFILE'],
  ['ENOENT', '/proc/pressure', 'the kernel has no PSI: CONFIG_PSI, and psi=1 on its command line'],
  ['EOPNOTSUPP', '/proc/pressure', 'PSI is switched off: boot with psi=1'],
  ['EINVAL', '/proc/pressure', 'without CAP_SYS_RESOURCE windowMs must be a multiple of 2000'],
  ['EPERM', '/proc/pressure', 'this kernel wants CAP_SYS_RESOURCE for it'],
  ['EACCES', '/proc/pressure', 'this kernel lets only root ask for it'],
  [
    'EACCES',
    '/proc/self/oom_score_adj',
    'lowering it needs CAP_SYS_RESOURCE in the initial user namespace: run with it, or let who starts the process set it: OOMScoreAdjust= in a systemd unit, --oom-score-adj of a container',
  ],
  [
    'EACCES',
    'oom-guardian',
    'a security module or policy forbids this user to execute the program: allow it, or guard without (guardian: false)',
  ],
  ['EOPNOTSUPP', 'cgroup.event_control', 'the kernel (PREEMPT_RT) has no events of cgroup v1'],
  ['ESRCH', 'cgroup.procs', 'there is no such process, or it is ending'],
  ['EROFS', '', 'cgroupfs is mounted read-only, as in most containers: bind-mount it writable'],
  ['EACCES', '', 'the directory is not delegated to this user: run as root or have it delegated'],
  [
    'EPERM',
    'memory.',
    'what a container sees as the root has its limits from outside: make a group below it, or set them there',
  ],
  [
    'EPERM',
    'kill',
    'a member belongs to another user, or to one outside of this user namespace: do it as its owner, or with CAP_KILL where that user is known',
  ],
  ['EPERM', '', 'a capability is missing: run as root'],
]

// The failures that no system call told: native/core/sys/codes.h and, without a native side, here.
const OWN: Record<string, string> = {
  ERR_NOT_A_MEMORY_CGROUP:
    'not a directory of a memory cgroup hierarchy (symbolic links are not followed)',
  ERR_CGROUP_UNSUPPORTED: 'this machine or this kind of group has no such thing',
  ERR_ROOT_GROUP:
    'the root group has no limits: it cannot be watched for OOMs, guarded, emptied or removed',
  ERR_SELF_IN_GROUP: 'this process is in the group: move it away first',
  ERR_INIT_IN_GROUP:
    'process 1 (of the machine or container) is in the group, and no signal ends it: move it to another group first, with add(1, { force: true })',
  ERR_NO_FREEZER:
    'no v1 freezer group of the same path has all members of this group: make one and add them',
  ERR_CLOSED: 'the group is closed',
  ERR_GUARDIAN_INSIDE:
    'the guardian would live inside of what it guards and cannot be moved out: name a group with guardian: { group }',
  ERR_GUARDIAN_LOST:
    'the guardian died and no other could be started: the killers are enabled again, and the guard has ended',
  ERR_PLAN_NEEDED:
    "this process is itself in the group (or in one below it) and stands still with it: begin the plan with a step that needs no memory, { afterMs: 0, action: 'headroom' } or 'ballast', or guard from outside of the group",
  ERR_PRESSURE_WATCH:
    '$MEMORY_PRESSURE_WATCH must be the absolute path of a PSI file (with a trigger for it in $MEMORY_PRESSURE_WRITE, in Base64), of a FIFO or of a listening AF_UNIX stream socket (https://systemd.io/PRESSURE/)',
  ERR_UNREADABLE_MARK:
    'the mark of its hold is damaged, so that nobody knows what memory.high was: write there, and into memory.max and cgroup.freeze, what shall be; a guard with takeOver: true then removes the mark when it is disposed',
  ERR_UNSEEN_MEMBERS:
    'the group has members that cannot be seen from here (in another PID namespace, or /proc is mounted with hidepid), so that nobody can say which is the largest, or end all: yield() lets the kernel decide, which sees all',
  ERR_KILLER_DISABLED:
    'somebody has disabled the killer of this group already (v2: holds it below its limit): another guard, or nobody any more (takeOver: true adopts it; so it does with a group that was made below a guarded one and has inherited that)',
}

// The same, where the file that is missing says more.
const OWN_BY_FILE: Record<string, Record<string, string>> = {
  ERR_NOT_A_MEMORY_CGROUP: {
    'cgroup.subtree_control':
      'a group of cgroup v2 that has no memory controller: write +memory into the cgroup.subtree_control of each group above it (systemd: MemoryAccounting=yes)',
    'cgroup.controllers':
      'the root of a cgroup v2 hierarchy without the memory controller, which is mounted as v1 or switched off',
  },
  ERR_CGROUP_UNSUPPORTED: {
    '': 'no memory controller is mounted, or the kernel was told to leave it out (cgroup_disable=memory): mount one (mount -t cgroup2 none DIRECTORY, or for v1: mount -t cgroup -o memory none DIRECTORY)',
    'memory.pressure_level': 'levels of pressure are of cgroup v1: ask for stalls, { kind }',
    'memory.high': 'cgroup v1 has no memory.high',
    'memory.oom.group': 'this group has no memory.oom.group: cgroup v1, or Linux before 4.19',
    'memory.use_hierarchy':
      'the limit of this group does not count the groups below it (cgroup v1, Linux before 5.11): write 1 into its memory.use_hierarchy, or into that of the root as systemd does, while there are none, or make the group with MemoryGroup.create()',
    'memory.swap.max': 'the kernel does not account swap: boot with swapaccount=1 (CONFIG_SWAP)',
    'memory.memsw.limit_in_bytes':
      'cgroup v1 limits swap together with memory: set max too, and boot with swapaccount=1',
  },
  ERR_NO_FREEZER: {
    'cgroup.freeze': 'this kernel has no cgroup.freeze: use Linux 5.2 or later',
  },
}

/** An error of one of the library's own codes, with the text that belongs to it. */
export function ownError(code: string, path?: string, file?: string): OomError {
  const text = OWN_BY_FILE[code]?.[file ?? ''] ?? OWN[code]
  return new OomError(code, `${text ?? code}${path === undefined ? '' : `: '${path}'`}`, { path })
}

/**
 * Members in another PID namespace are in the way: so many, or, where the kernel does not even list them
 * (v1), perhaps some. With `busy` it is still that error, with its cause.
 */
export function unseenMembers(path: string, count?: number, busy?: OomError): OomError {
  const who =
    count === undefined
      ? `'${path}' lists no member, but seems to have some: members in another PID namespace are not listed by cgroup v1 (memory that moved processes have left behind looks the same)`
      : `${count} ${count === 1 ? 'member' : 'members'} of '${path}' cannot be signalled from here: in another PID namespace`
  const text = `${who}; do it from the PID namespace that they were started from, such as the machine's own`
  return busy
    ? new OomError(busy.code, `${busy.message} (${text})`, busy)
    : new OomError('ERR_UNSEEN_MEMBERS', text, { path })
}

/** The remedy for a failure, where there is one. By number: one errno may have two names. */
function remedy(errno: number, file: string | undefined): string | undefined {
  const number = (code: string): number | undefined =>
    (constants.errno as Record<string, number>)[code]
  const rows = REMEDIES.filter(
    ([code, prefix]) => number(code) === -errno && (file ?? '').startsWith(prefix),
  )
  return rows.sort(([, a], [, b]) => b.length - a.length)[0]?.[2]
}

/** Makes the OomError of a native failure; `path` is what the call was about. */
export function fromNative(error: unknown, path?: string): unknown {
  if (!(error instanceof Error) || typeof (error as NativeFailure).errno !== 'number') return error
  // Made from a native failure already: it has an errno, too.
  if (error instanceof OomError) return error
  const { errno, syscall, file, code: own } = error as NativeFailure
  if (own !== undefined) return ownError(own, path, file)
  const code = errnoName(errno)
  const inGroup = path !== undefined && file !== undefined && !file.startsWith('/')
  const where = inGroup ? `${path}/${file}` : file?.startsWith('/') ? file : (path ?? file)
  const help = remedy(errno, file ?? syscall)
  const message = `${code}: ${errnoText(errno)}, ${syscall ?? 'native'}${where === undefined ? '' : ` '${where}'`}`
  return new OomError(code, help === undefined ? message : `${message} (${help})`, {
    errno,
    syscall,
    path: where,
  })
}

/** As Node.js's own: name AbortError, code ABORT_ERR, the signal's reason as its cause. */
export class AbortError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'ABORT_ERR'
  constructor(cause?: unknown) {
    super('The operation was aborted', cause === undefined ? undefined : { cause })
  }
}
