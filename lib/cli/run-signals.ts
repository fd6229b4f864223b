// Signals for `cgroup-oom run`: passed on to the command. Those that a terminal sends go to its whole
// foreground process group: a command that is in it has had them, and twice means "at once" to many.
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'

const FROM_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT']
const FORWARDED: readonly NodeJS.Signals[] = [...FROM_TERMINAL, 'SIGTERM', 'SIGHUP']

/** Whether this process is in the foreground of a terminal: proc_pid_stat(5), pgrp and tpgid. */
function inForeground(): boolean {
  // The name, in parentheses, may hold anything.
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return fields[2] === fields[5]
}

/** From when it is made until stop(). */
export class Forwarder {
  #child: ChildProcess | undefined
  /** The first that came before there was a command. */
  first: NodeJS.Signals | undefined

  readonly #pass = (signal: NodeJS.Signals) => {
    if (this.#child === undefined) {
      this.first ??= signal
    } else if (!FROM_TERMINAL.includes(signal) || !inForeground()) {
      this.#child.kill(signal)
    }
  }

  constructor() {
    for (const signal of FORWARDED) process.on(signal, this.#pass)
  }

  to(child: ChildProcess): void {
    this.#child = child
  }

  stop(): void {
    for (const signal of FORWARDED) process.off(signal, this.#pass)
  }
}
