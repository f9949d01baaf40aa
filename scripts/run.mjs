// Builds, then runs a file of the build with Node: `node scripts/run.mjs [node options] FILE [its arguments]`.
import { build } from './build.mjs'
import { installWhenNeeded, run } from './install.mjs'

installWhenNeeded()
await build()
run(process.execPath, process.argv.slice(2))
