// Reads the files of a v2 group that is held, or was.
import { read } from './memory-files.js'

const size = (text: string) => (text === 'max' ? Infinity : Number(text))
export const high = (dir: string): number => size(read(dir, 'memory.high').trim())
export const max = (dir: string): number => size(read(dir, 'memory.max').trim())
export const usage = (dir: string): number => Number(read(dir, 'memory.current'))
export const frozen = (dir: string): boolean => read(dir, 'cgroup.freeze').trim() === '1'
export const pids = (dir: string): number[] =>
  read(dir, 'cgroup.procs').split('\n').filter(Boolean).map(Number)
