// The library as `race` uses it: a guard of DIR that kills what is in it at once. Ends with its stdin.
import { MemoryGroup } from 'cgroup-oom'

const group = await MemoryGroup.open(process.argv[2]!)
const guard = await group.guard({
  delayMs: 1000,
  plan: [{ action: 'kill-group', afterMs: 0 }],
  fallback: 'kill-group',
})
console.log('armed')
process.stdin.resume().on('end', () => {
  void guard
    .dispose()
    .then(() => group.close())
    .then(() => process.exit())
})
