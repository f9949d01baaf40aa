// A process of its own: aedes as its README starts it. `aedes.js [FOLDER_WITH_MODULES DATA]`: with persistence in level.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Aedes } from 'aedes'

const [modules, data] = process.argv.slice(2)
const aedes = await Aedes.createBroker(modules === undefined ? {} : { persistence: await level(modules, data!) })
const server = createServer(aedes.handle).listen(0, '127.0.0.1')
await once(server, 'listening')
process.stdout.write(`port ${(server.address() as { port: number }).port}\n`)

async function level(folder: string, path: string): Promise<unknown> {
  const resolve = createRequire(join(folder, 'package.json')).resolve
  const { Level } = await import(pathToFileURL(resolve('level')).href)
  const persistence = await import(pathToFileURL(resolve('aedes-persistence-level')).href)
  return persistence.default(new Level(path))
}
