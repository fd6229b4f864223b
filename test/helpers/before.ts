// Runs once before the test files (.taprc): removes what runs that are gone have left behind.
import { sweep } from './scratch.js'
import { sweepTwins } from './twin.js'

await sweep()
await sweepTwins()
