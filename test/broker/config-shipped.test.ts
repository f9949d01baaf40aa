// The shipped config: it is right, it shows every setting, and each default that it shows is the default.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { checkAll } from '../../broker/check.ts'
import { jsonSchemaText } from '../../broker/config/json-schema.ts'
import { loadConfig } from '../../broker/config/load.ts'
import { formatProblem } from '../../broker/config/problem.ts'
import {
  adminSchema,
  configSchema,
  limitsSchema,
  listenerSchema,
  logSchema,
  storeSchema,
} from '../../broker/config/schema.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { repository } from '../helpers/repository.ts'

const timeout = 20_000
const shipped = join(repository, 'config/oriole.yaml')

/** A "#" directly before a word is a setting; before a space it is prose. */
async function uncommented(): Promise<string> {
  return (await readFile(shipped, 'utf8')).replace(/^( *)#(?=[^ #\n])/gm, '$1')
}

test('shipped config: it and the files that it names have no mistakes', { timeout }, async () => {
  assert.deepEqual((await checkAll(shipped, {})).map(formatProblem), [])
})

test('shipped config: with every setting shown it still loads', { timeout }, async (t) => {
  const path = join(await temporaryFolder(t), 'oriole.yaml')
  await writeFile(path, await uncommented())
  const { problems } = await loadConfig(path, { ORIOLE_CLUSTER_KEY: 'a key of sixteen bytes' })
  assert.deepEqual(problems.map(formatProblem), [])
})

test('shipped config: it shows every setting of the schema, each at its default', { timeout }, async () => {
  const shown = parse(await uncommented()) as Record<string, unknown> & { listeners: Record<string, unknown>[] }
  const defaults = configSchema.parse({})
  assert.deepEqual(Object.keys(shown).sort(), Object.keys(configSchema.shape).sort())
  assert.equal(shown.node, defaults.node)
  assert.equal(shown.sharedSubscriptions, defaults.sharedSubscriptions)
  assert.deepEqual(shown.limits, limitsSchema.parse({}))
  assert.deepEqual(shown.log, logSchema.parse({}))
  assert.deepEqual(shown.admin, adminSchema.parse({}))
  assert.deepEqual(shown.store, storeSchema.parse({ type: 'level' }))
})

test('shipped config: each type of listener is shown, with all of its settings at their defaults', {
  timeout,
}, async () => {
  const { listeners } = parse(await uncommented()) as { listeners: Record<string, unknown>[] }
  assert.deepEqual(
    listeners.map(({ type }) => type).sort(),
    listenerSchema.options.map(({ shape }) => shape.type.value).sort(),
  )
  for (const shown of listeners) {
    const shape = listenerSchema.options.find((option) => option.shape.type.value === shown.type)!.shape
    // `accept` is the same for all of them, and shown once.
    const names = Object.keys(shape).filter((name) => name !== 'accept' || shown.type === 'tcp')
    assert.deepEqual(Object.keys(shown).sort(), names.sort(), `listener ${shown.name}`)
    const needed = { type: shown.type, name: 'x', certificate: 'x', key: 'x', path: 'x' }
    const least = Object.fromEntries(
      Object.entries(needed).filter(([name]) => Object.hasOwn(shape, name) && !hasDefault(shape, name)),
    )
    for (const [name, value] of Object.entries(listenerSchema.parse(least))) {
      if (!Object.hasOwn(least, name) && Object.hasOwn(shown, name)) assert.deepEqual(shown[name], value, name)
    }
  }
})

function hasDefault(shape: object, name: string): boolean {
  const schema = (shape as Record<string, { safeParse(value: unknown): { success: boolean } }>)[name]
  return schema?.safeParse(undefined).success === true
}

test('shipped config: the JSON Schema for editors is up to date, and the file points at it', { timeout }, async () => {
  assert.equal(await readFile(join(repository, 'config/oriole.schema.json'), 'utf8'), jsonSchemaText())
  assert.match(await readFile(shipped, 'utf8'), /^# yaml-language-server: \$schema=oriole\.schema\.json\n/)
})
