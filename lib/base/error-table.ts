// What each error means and what to do about it, in one table. errors.ts makes the messages from it,
// `npm run docs:errors` makes docs/errors.md.

export interface Advice {
  /** What has happened, as the beginning of a sentence. */
  means: string
  /** What to do, as the rest of it; absent where the meaning is enough. */
  remedy?: string
}

export interface OwnAdvice extends Advice {
  /** The advice that replaces this one if a certain file is missing, by its name. */
  files?: Record<string, Advice>
}

const BY_SIGNALS = (step: string): Advice => ({
  means: `a hold by signals writes no control file, so that its plan can have no ${step} step`,
  remedy: "leave the step out, or use hold: { by: 'kernel' } where the group can be written",
})

/**
 * The library's own codes: those of native/core/sys/codes.h, and those that TypeScript alone reports. Where
 * the place of the failure knows more, the message there has the numbers and names in addition.
 */
export const OWN: Record<string, OwnAdvice> = {
  ERR_CGROUP_UNSUPPORTED: {
    means: 'this machine or this kind of group has no such thing',
    remedy: 'probe() returns what the machine has',
    files: {
      '': {
        means: 'no memory controller is mounted, or it is switched off (cgroup_disable=memory)',
        remedy:
          'mount one (mount -t cgroup2 none DIRECTORY, or for v1: mount -t cgroup -o memory none DIRECTORY)',
      },
      'memory.pressure_level': {
        means: 'only cgroup v1 has levels of pressure',
        remedy: 'ask for stalls, { kind }',
      },
      'memory.limit_in_bytes': BY_SIGNALS('headroom'),
      'memory.max': BY_SIGNALS('headroom'),
      'memory.force_empty': BY_SIGNALS('reclaim'),
      'memory.reclaim': BY_SIGNALS('reclaim'),
      'memory.pressure': {
        means:
          'the kernel has no stall information of this group, by which guard({ thrash }) goes: cgroup v1 has none, v2 has it with PSI',
        remedy:
          'use cgroup v2 and boot with psi=1 (CONFIG_PSI); 1 in cgroup.pressure of the group; or guard without thrash',
      },
      'memory.peak': {
        means: 'this group has no memory.peak',
        remedy: 'it needs cgroup v1, or Linux 5.19 or later; the root of v2 never has it',
      },
      'memory.high': { means: 'cgroup v1 has no memory.high' },
      'memory.oom.group': {
        means: 'this group has no memory.oom.group',
        remedy: 'it needs cgroup v2 and Linux 4.19 or later',
      },
      'memory.use_hierarchy': {
        means:
          'the limit of this group does not count the groups below it (cgroup v1, Linux before 5.11)',
        remedy:
          'while it has no groups below it, write 1 into its memory.use_hierarchy, or into that of the root as systemd does; or make the group with MemoryGroup.create()',
      },
      'memory.swap.max': {
        means: 'the kernel does not account swap',
        remedy: 'boot with swapaccount=1 (CONFIG_SWAP)',
      },
      'memory.memsw.limit_in_bytes': {
        means: 'cgroup v1 limits swap together with memory',
        remedy: 'set max too, and boot with swapaccount=1',
      },
    },
  },
  ERR_NO_LIMIT: {
    means: 'the group has no limit of its own that a share could be of',
    remedy: 'set one, setLimits({ max }), or give the threshold in bytes',
  },
  ERR_NOT_A_MEMORY_CGROUP: {
    means: 'not a directory of a memory cgroup hierarchy (symbolic links are not followed)',
    files: {
      'cgroup.subtree_control': {
        means: 'a group of cgroup v2 that has no memory controller',
        remedy:
          'write +memory into the cgroup.subtree_control of each group above it (systemd: MemoryAccounting=yes)',
      },
      'cgroup.controllers': {
        means:
          'the root of a cgroup v2 hierarchy without the memory controller, which is mounted as v1 or switched off',
      },
    },
  },
  ERR_ROOT_GROUP: {
    means:
      'the root group has no limits: it cannot be watched for OOMs, guarded, emptied or removed',
    remedy: 'use a group below it',
  },
  ERR_KILLER_DISABLED: {
    means:
      "the kernel's killer of this group is disabled already (v2: the group is held below its limit already): another guard holds it, its guard and guardian were killed, or it was made below a guarded group and inherited the disabled killer",
    remedy:
      'takeOver: true adopts the group; if another guard holds it as well, the shorter delay counts',
  },
  ERR_UNREADABLE_MARK: {
    means:
      'the mark of the hold (v2) is damaged, and with it the record of what memory.high was before',
    remedy:
      'write the values that you want into memory.high, memory.max and cgroup.freeze; a guard with takeOver: true then removes the mark when it is disposed',
  },
  ERR_PLAN_NEEDED: {
    means:
      'this process is in the group or in one below it, and so would be stopped by the OOM that it is to handle',
    remedy:
      "begin the plan with a step that needs no memory, { afterMs: 0, action: 'headroom' } or 'ballast'; or hold the group by signals, hold: { by: 'signals' }, which never stops this process; or guard from outside of the group",
  },
  ERR_GUARDIAN_MISSING: {
    means: 'the program oom-guardian is missing from the installed package',
    remedy: 'copy its directory prebuilds/ along, or install the package again',
  },
  ERR_LAUNCHER_MISSING: {
    means:
      'the program oom-launcher is missing from the installed package, or is of another version',
    remedy: 'copy its directory prebuilds/ along, or install the package again',
  },
  ERR_GUARDIAN_INSIDE: {
    means: 'the guardian would be in the group that it guards, and cannot be moved out of it',
    remedy: 'name another group with guardian: { group }',
  },
  ERR_GUARDIAN_LOST: {
    means:
      'the guardian died and no other could be started: the killers are enabled again, and the guard has ended',
    remedy: 'guard again when processes can be started',
  },
  ERR_SELF_IN_GROUP: {
    means: 'this process is in the group',
    remedy: 'move it to another group first',
  },
  ERR_INIT_IN_GROUP: {
    means: 'process 1 (of the machine or container) is in the group, and no signal ends it',
    remedy: 'move it to another group first, with add(1, { force: true })',
  },
  ERR_UNSEEN_MEMBERS: {
    means:
      'the group has members that cannot be seen from here (in another PID namespace, or /proc is mounted with hidepid), so they can be neither signalled nor compared',
    remedy:
      'do it from the PID namespace that they were started from, or let the kernel decide with yield(): it sees all',
  },
  ERR_PROCESS_REFUSED: {
    means:
      "add() got process 1, an ancestor of this process, a kernel thread or the id of a thread (a worker's threadId is no process id)",
    remedy: '{ force: true } moves it all the same',
  },
  ERR_GROUP_OCCUPIED: {
    means:
      'processes live in the group, and a group of cgroup v2 has either processes or groups with limits below it (the no-internal-process rule)',
    remedy:
      'MemoryGroup.home({ settle: true }) moves them into a group below it first; where it has tried, some could not be moved, and all are back where they were',
  },
  ERR_NO_HOME: {
    means: 'this process may make no groups with limits here',
    remedy:
      "guard({ hold: { by: 'signals' } }), counters and (v2) watches work all the same; for groups of its own: {read-only}; where the file system is writable: {delegation}",
  },
  ERR_NO_FREEZER: {
    means: 'no v1 freezer group of the same path has all members of this group',
    remedy: 'make one and add them',
    files: {
      'cgroup.freeze': {
        means: 'this kernel has no cgroup.freeze',
        remedy: 'use Linux 5.2 or later',
      },
    },
  },
  ERR_MEMLOCK_LIMIT: {
    means: 'RLIMIT_MEMLOCK is too low for what is to be locked',
    remedy:
      'raise it (ulimit -l, LimitMEMLOCK= in a systemd unit, --ulimit memlock= of a container) or give the process CAP_IPC_LOCK',
  },
  ERR_EPISODE_ENDED: {
    means: 'the group is no longer out of memory: the episode has ended',
  },
  ERR_LIMIT_NOT_RAISED: {
    means: 'raiseLimit() got a limit that is not higher than the present one',
    remedy: 'setLimits() lowers a limit',
  },
  ERR_PRESSURE_WATCH: {
    means:
      "$MEMORY_PRESSURE_WATCH or $MEMORY_PRESSURE_WRITE does not follow systemd's protocol (https://systemd.io/PRESSURE/)",
    remedy:
      'the first must be the absolute path of a PSI file (with a trigger for it in the second, in Base64), of a FIFO or of a listening AF_UNIX stream socket',
  },
  ERR_OTHER_COPY: {
    means: 'the group is one of another installation of the package, which has an addon of its own',
    remedy:
      "install one only (npm ls cgroup-oom, npm dedupe); the ESM and the CommonJS half of one installation know each other's groups",
  },
  ERR_RUNTIME_UNSUPPORTED: {
    means: 'Bun cannot wait for a descriptor: its uv_poll_init() would end the process',
    remedy: 'run this part with Node.js or Deno; guards, watches and DelayTimer work in Bun',
  },
  ERR_CLOSED: { means: 'the object is closed (a group, a descriptor) or disposed (a guard)' },
  ERR_ILLEGAL_CONSTRUCTOR: {
    means: 'new MemoryGroup() or new PidFd() was called',
    remedy: 'use MemoryGroup.open(), create() or of(), and PidFd.open()',
  },
  ERR_INVALID_ARG_TYPE: {
    means: 'an argument is of the wrong type: a TypeError as those of Node.js; nothing was touched',
  },
  ERR_INVALID_ARG_VALUE: {
    means:
      'an argument has a value that is not allowed: a TypeError as those of Node.js; nothing was touched',
  },
  ERR_OUT_OF_RANGE: {
    means: 'a number is out of its range: a RangeError as those of Node.js; nothing was touched',
  },
  ERR_UNKNOWN_SIGNAL: {
    means: 'this platform has no signal of that name: a TypeError as that of process.kill()',
  },
  ABORT_ERR: { means: 'the signal that was passed was aborted: an AbortError' },
}

/** What an errno means in general; REMEDIES has what to do at a certain file or call. */
export const SYSTEM: Record<string, Advice> = {
  EACCES: {
    means:
      'this user may not write the file or, where the path is that of oom-launcher or oom-guardian, may not execute the program',
    remedy:
      'if it is a program: chmod +x, or install the package on a file system that is not mounted noexec',
  },
  EAGAIN: { means: 'a limit of processes or threads is reached' },
  EBUSY: {
    means:
      'the group is in use: it has members or groups below it, or uses more than the new limit allows',
    remedy: 'remove({ kill: true }) removes a group with its members and the groups below',
  },
  EEXIST: { means: 'the group that create() is to make exists' },
  EINVAL: { means: 'the kernel refuses the value' },
  EMFILE: { means: 'a limit of open files or of inotify instances is reached' },
  ENODEV: { means: 'the group has been removed' },
  ENOENT: { means: 'there is no such group, it has been removed, or the kernel has no such file' },
  ENOEXEC: {
    means: 'the program oom-launcher or oom-guardian is truncated or of another architecture',
    remedy: 'install the package again on the platform where it runs',
  },
  ENOMEM: {
    means:
      'the group of this process has no room for a MemoryReserve, or the call was made inside of a group that is out of memory',
  },
  ENOSPC: { means: 'a limit of inotify watches or of guarded groups is reached' },
  EOPNOTSUPP: {
    means:
      'the kernel or the group cannot do it: PREEMPT_RT, a threaded group of v2, PSI switched off (Node.js calls this errno ENOTSUP)',
  },
  EPERM: {
    means: 'a capability is missing, or a process belongs to another user',
    remedy:
      'CAP_SYS_RESOURCE lowers oom_score_adj, CAP_IPC_LOCK locks more than the limit, CAP_KILL signals processes of other users',
  },
  EROFS: { means: 'the file system is mounted read-only' },
  ESRCH: { means: 'there is no such process, or it is no member of the group' },
  ETIMEDOUT: {
    means:
      'freeze() or thaw() gave up: some members did not stop (tasks that wait for memory do not), or did not go on, within 10 s',
  },
}

/**
 * {read-only} and {delegation} stand for the switch of the runtime that is found (runtime.ts).
 *
 * The remedy by errno and file (a prefix of the control file's name or, where there is no file, of the
 * system call's; '' for any). The longest prefix that matches counts, wherever its row stands.
 */
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
    'EEXIST',
    '',
    'a group of this name is there, perhaps left by a process that was killed: MemoryGroup.open() opens it, remove({ kill: true }) of the result removes it',
  ],
  [
    'ENOENT',
    'cgroup.subtree_control',
    'the group itself has no memory controller to give: enable it in the groups above',
  ],
  ['EOPNOTSUPP', 'cgroup.procs', "the group is threaded or 'domain invalid': see its cgroup.type"],
  [
    'EACCES',
    'cgroup.procs',
    'moving a process needs write access to the cgroup.procs of the nearest group that is above both, which is outside of what was delegated: start the process inside',
  ],
  [
    'EACCES',
    'cgroup.subtree_control',
    'the group above is not delegated to this user, and must be to give controllers to groups below: {delegation}',
  ],
  ['EBUSY', 'freezer.parent_freezing', 'a freezer group above keeps it frozen: thaw that one'],
  [
    'EINVAL',
    'memory.memsw.limit_in_bytes',
    'another process changed a limit at the same time: set it again',
  ],
  [
    'EINVAL',
    'memory.limit_in_bytes',
    'another process changed a limit at the same time: set it again',
  ],
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
    'too many open files: raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=); a watch has one descriptor (v2: two, and one for each group above), a guard six for each group (v2 with swap: eight)',
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
  ['ENOENT', 'memory.', 'the group has been removed'],
  [
    'ENOENT',
    'memory.reclaim',
    'the kernel has none before Linux 5.19, or the group has been removed',
  ],
  ['ENOENT', 'cgroup.', 'the group has been removed'],
  ['ENOSPC', 'inotify', 'raise the sysctl fs.inotify.max_user_watches'],
  ['EMFILE', 'inotify', 'raise the sysctl fs.inotify.max_user_instances, or RLIMIT_NOFILE'],
  ['ENOENT', '/proc/pressure', 'the kernel has no PSI: CONFIG_PSI, and psi=1 on its command line'],
  ['EOPNOTSUPP', '/proc/pressure', 'PSI is switched off: boot with psi=1'],
  [
    'EACCES',
    '/proc/self/oom_score_adj',
    'lowering it needs CAP_SYS_RESOURCE in the initial user namespace: run with it, or have the process started with that value: OOMScoreAdjust= in a systemd unit, --oom-score-adj of a container',
  ],
  [
    'EACCES',
    'oom-guardian',
    'a security module or policy forbids this user to execute the program: allow it, or guard without (guardian: false)',
  ],
  ['EOPNOTSUPP', 'cgroup.event_control', 'the kernel (PREEMPT_RT) has no events of cgroup v1'],
  ['ESRCH', 'cgroup.procs', 'there is no such process, or it is ending'],
  [
    'EROFS',
    '',
    "cgroupfs is mounted read-only, as in most containers: guard({ hold: { by: 'signals' } }) needs no leave; to have it writable: {read-only}",
  ],
  ['EACCES', '', 'the directory is not delegated to this user: {delegation}'],
  [
    'EPERM',
    'memory.',
    'what a container sees as the root has its limits from outside: make a group below it, or set them there',
  ],
  [
    'ENOMEM',
    'mkdir',
    'a group is charged to the group above it, or to that of this process: one of them has no room',
  ],
  [
    'EPERM',
    'kill',
    'this process, its parents, its guardian and process 1 are never killed; or a member belongs to another user, or to one outside of this user namespace: do it as its owner, or with CAP_KILL where that user is known',
  ],
  ['EPERM', '', 'a capability is missing'],
]
