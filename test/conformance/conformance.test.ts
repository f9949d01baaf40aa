// docs/conformance.md tells the truth: every statement is there, and what it names exists.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../helpers/repository.ts'
import { loadHostileRows } from '../hostile/table.ts'
import { conformanceText, testTitles } from './make.ts'
import type { Statement } from './statement.ts'
import { chapters } from './statements/all.ts'

const timeout = 20_000
const versions = [...new Set(chapters.map(({ version }) => version))]
const bindServer = chapters.flatMap(({ statements }) => statements.filter(({ binds }) => binds !== 'client'))

test('conformance: docs/conformance.md is what `npm run conformance` writes', { timeout }, () => {
  assert.equal(readFileSync(join(repository, 'docs/conformance.md'), 'utf8'), conformanceText())
})

test('conformance: every statement that binds the server names where it is obeyed, and a proof', { timeout }, () => {
  const open = bindServer.filter((statement) => statement.where === undefined || proofs(statement) === 0)
  assert.deepEqual(
    open.map(({ id }) => id),
    [],
  )
})

test('conformance: every file, test and hostile packet that is named exists', { timeout }, () => {
  const titles = testTitles()
  const hostile = new Set(loadHostileRows(join(repository, 'test/hostile/packets.json')).map(({ name }) => name))
  const missing: string[] = []
  for (const { id, where, tests, hostile: rows } of chapters.flatMap(({ statements }) => statements)) {
    for (const file of where ?? []) if (!existsSync(join(repository, file))) missing.push(`${id}: ${file}`)
    for (const title of tests ?? []) if (!titles.has(title)) missing.push(`${id}: test "${title}"`)
    for (const name of rows ?? []) if (!hostile.has(name)) missing.push(`${id}: hostile packet "${name}"`)
  }
  assert.deepEqual(missing, [])
})

/** The standard skips these numbers. */
const skipped: Readonly<Record<string, readonly string[]>> = { '5.0': ['MQTT-2.2.1-1'], '3.1.1': [] }

for (const version of versions) {
  test(`conformance: the statements of MQTT ${version} are numbered without gaps and stand once`, { timeout }, () => {
    const ids = chapters.filter((chapter) => chapter.version === version).flatMap(({ statements }) => statements)
    const seen = new Set(skipped[version])
    for (const { id } of ids) {
      assert.match(id, /^MQTT-\d+\.\d+(\.\d+)?-\d+$/)
      assert.ok(!seen.has(id), `${id} stands twice`)
      seen.add(id)
    }
    for (const { id } of ids) {
      const [section, number] = id.split(/-(?=\d+$)/) as [string, string]
      for (let before = Number(number) - 1; before > 0; before -= 1) {
        assert.ok(seen.has(`${section}-${before}`), `${section}-${before} is missing`)
      }
    }
  })
}

function proofs({ tests, hostile }: Statement): number {
  return (tests?.length ?? 0) + (hostile?.length ?? 0)
}
