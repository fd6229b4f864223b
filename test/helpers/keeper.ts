// A process outside of the test that enables killers again, so that no test can hang the machine.
import { spawn } from 'node:child_process'
import { version } from './memory-files.js'

/**
 * Outlives this process: enables every killer (v2: thaws every group) below `dir` after `seconds`,
 * then each second until the directory is gone.
 */
export function startKeeper(dir: string, seconds: number): void {
  const file = version === 1 ? 'memory.oom_control' : 'cgroup.freeze'
  const script = `sleep ${seconds}; while [ -d "$1" ]; do find "$1" -name ${file} -exec sh -c 'echo 0 > "$1"' _ {} \\; ; sleep 1; done`
  spawn('sh', ['-c', script, 'keeper', dir], { detached: true, stdio: 'ignore' }).unref()
}
