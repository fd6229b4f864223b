// The place that this process is really in.
import { accessSync, constants } from 'node:fs'
import { thisLook } from '../base/runtime.js'
import type { PlaceLook } from './signs.js'

const HOW = {
  exists: constants.F_OK,
  read: constants.R_OK,
  write: constants.W_OK,
  execute: constants.X_OK,
}

export const thisPlace: PlaceLook = {
  read: thisLook.read,
  exists: thisLook.exists,
  get env() {
    return process.env
  },
  access(path, how) {
    try {
      accessSync(path, HOW[how])
      return undefined
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'EIO'
    }
  },
}
