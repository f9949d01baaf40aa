// `npm start`: installs and builds when needed, then is the command `oriole start` itself, in the same process, so that
// signals and the terminal are its own.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildWhenNeeded } from './build.mjs'
import { installWhenNeeded, root } from './install.mjs'

installWhenNeeded()
await buildWhenNeeded()

const args = process.argv.slice(2)
const named = args.some((argument) => /^(-c|--config(=.*)?|-h|--help)$/.test(argument))
const cli = join(root, 'dist/broker/cli.js')
process.argv = [process.execPath, cli, 'start', ...(named ? [] : ['--config', 'config/oriole.yaml']), ...args]
await import(pathToFileURL(cli).href)
