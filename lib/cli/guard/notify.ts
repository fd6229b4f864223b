// sd_notify(3): what the service manager is told, where it wants to know. By the addon, not by
// systemd-notify(1): the message then comes from this very process, as NotifyAccess=main asks for, in images that
// have no such program too, and takes no fork where memory is short. In order, and never waited for by a guard.
import { setTimeout as sleep } from 'node:timers/promises'
import { fromNative } from '../../base/errors.js'
import { binding } from '../../native/addon.js'

const FULL = 'EAGAIN'
const RETRY_MS = 50
const ATTEMPTS = 40

export class ServiceManager {
  readonly #address: string | undefined
  readonly #print: (problem: string) => void
  #sent: Promise<void> = Promise.resolve()

  /** Takes $NOTIFY_SOCKET away: commands that are started are no services of their own. */
  constructor(print: (problem: string) => void) {
    this.#address = process.env.NOTIFY_SOCKET || undefined
    this.#print = print
    delete process.env.NOTIFY_SOCKET
  }

  ready(status: string): Promise<void> {
    return this.#send(`READY=1\nSTATUS=${status}`)
  }

  status(status: string): Promise<void> {
    return this.#send(`STATUS=${status}`)
  }

  /** Type=notify-reload wants to know when that was, in microseconds of CLOCK_MONOTONIC. */
  reloading(): Promise<void> {
    return this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`)
  }

  stopping(): Promise<void> {
    return this.#send('STOPPING=1\nSTATUS=putting the groups back')
  }

  #send(text: string): Promise<void> {
    const address = this.#address
    if (address === undefined) return this.#sent
    this.#sent = this.#sent.then(async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          return binding().sendDatagram(address, text)
        } catch (error) {
          const { message, code } = fromNative(error, address) as NodeJS.ErrnoException
          if (code !== FULL || attempt === ATTEMPTS)
            return this.#print(`$NOTIFY_SOCKET: ${message}`)
          await sleep(RETRY_MS)
        }
      }
    })
    return this.#sent
  }
}
