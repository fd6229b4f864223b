// cgroup-oom/primitives: thin, each documented with the man page that it stands for.
export { DelayTimer } from './primitives/delay-timer.js'
export type {
  DelayExpiration,
  DelayStartOptions,
  DelayTimerOptions,
} from './primitives/delay-timer.js'
export { EventFd } from './primitives/event-fd.js'
export type { EventFdOptions, EventFdReadOptions } from './primitives/event-fd.js'
export { registerEvent } from './primitives/register-event.js'
export {
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  mlockall,
  munlockall,
} from './primitives/mlockall.js'
export { PidFd } from './primitives/pid-fd.js'
export { OomError } from './base/errors.js'
