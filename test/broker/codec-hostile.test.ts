// The hostile packets against the codec alone: what the bytes give away must be noticed before the connection sees it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { decode } from '../../broker/protocol/decode.ts'
import { FrameReader } from '../../broker/protocol/frames.ts'
import { ProtocolViolation } from '../../broker/protocol/packets.ts'
import { hostileJson, hostileRows } from '../hostile/make.ts'
import type { Expectation, HostileRow, Version } from '../hostile/table.ts'

const deadline = { timeout: 20_000 }

test('codec: the table of hostile packets has 400 rows at least, with different names', deadline, () => {
  assert.ok(hostileRows.length >= 400)
  const names = hostileRows.map(({ name }) => name)
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  )
  for (const { versions, expect } of hostileRows) assert.deepEqual(Object.keys(expect), versions.map(String))
})

test('codec: packets.json is what make.ts writes', deadline, () => {
  assert.equal(readFileSync(join(process.cwd(), 'test/hostile/packets.json'), 'utf8'), hostileJson())
})

test('codec: every hostile packet is judged as the table says', deadline, () => {
  const wrong: string[] = []
  for (const row of hostileRows) {
    for (const version of row.versions) {
      const seen = judge(row, version)
      if (!agrees(row, row.expect[version]!, seen)) wrong.push(`${row.name} (version ${version}): ${seen}`)
    }
  }
  assert.deepEqual(wrong, [])
})

/** The reason code of the violation, undefined where the codec accepts it, or 'incomplete'. */
function judge(row: HostileRow, version: Version): number | 'incomplete' | undefined {
  const reader = new FrameReader(row.state === 'connected' ? 1_048_576 : 16_384)
  reader.push(Buffer.from(row.bytes, 'hex'))
  try {
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      decode(frame.header, frame.body, row.state === 'connected' ? version : undefined)
    }
    return reader.idle ? undefined : 'incomplete'
  } catch (error) {
    if (error instanceof ProtocolViolation) return error.reasonCode
    throw error
  }
}

function agrees(row: HostileRow, expected: Expectation, seen: number | 'incomplete' | undefined): boolean {
  if (row.by === 'connection') return seen === undefined || row.name === 'a second CONNECT'
  if (expected === 'close' || expected === 'close-silent') return typeof seen === 'number'
  if ('disconnect' in expected) return seen === expected.disconnect
  if ('connack' in expected) return seen === 0x84
  return seen === undefined
}
