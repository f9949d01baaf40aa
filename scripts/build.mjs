// Compiles to dist/, removes what has no source any more, and writes the JSON Schema of the config.
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { installWhenNeeded, root, run, say } from './install.mjs'

const sources = ['broker', 'plugins', 'test', 'bench']
const stamp = join(root, 'dist/.built')

export async function build() {
  removeStale()
  // The compiler trusts its notes about what it wrote; without the output they are wrong.
  if (!existsSync(join(root, 'dist/broker/cli.js'))) rmSync(join(root, 'dist/.tsbuildinfo'), { force: true })
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'])
  await writeJsonSchema()
  writeFileSync(stamp, '')
}

export async function buildWhenNeeded() {
  const newest = Math.max(
    ...['tsconfig.json', 'package-lock.json', ...sources].map((name) => newestMs(join(root, name))),
  )
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= newest) return
  say('building')
  await build()
}

async function writeJsonSchema() {
  const { jsonSchemaText } = await import(pathToFileURL(join(root, 'dist/broker/config/json-schema.js')).href)
  const path = join(root, 'config/oriole.schema.json')
  const text = jsonSchemaText()
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text)
}

/** A deleted test must not run, and a deleted module must not be found. */
function removeStale() {
  for (const folder of sources) {
    for (const file of filesBelow(join(root, 'dist', folder))) {
      const source = join(root, file.slice(join(root, 'dist').length + 1).replace(/\.js(\.map)?$/, '.ts'))
      if (/\.js(\.map)?$/.test(file) && !existsSync(source)) rmSync(file)
    }
  }
}

/** Folders count too: their time changes when a file in them is deleted. */
function newestMs(path) {
  if (!existsSync(path)) return 0
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestMs(join(path, name))))
}

export function filesBelow(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesBelow(path) : [path]
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  installWhenNeeded()
  await build()
}
