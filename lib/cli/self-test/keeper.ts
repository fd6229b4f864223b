// Stands outside the scratch group, in a session of its own, and ends everything in it when the
// self-test is over, has taken too long, or has died: its stdin ends then. Arguments: the group's path
// and the seconds.
import { MemoryGroup } from '../../group/memory-group.js'

async function main(path: string, seconds: number): Promise<void> {
  await using group = await MemoryGroup.open(path)
  const over = new Promise<void>(resolve => {
    const timer = setTimeout(resolve, seconds * 1000)
    process.stdin.resume().once('end', () => {
      clearTimeout(timer)
      resolve()
    })
  })
  process.stdout.write('ready\n')
  await over
  try {
    // The killer first, then the members, then the directory.
    await group.remove({ kill: true })
  } catch {
    // The self-test has removed the group itself.
  }
  process.exit()
}

void main(process.argv[2]!, Number(process.argv[3]))
