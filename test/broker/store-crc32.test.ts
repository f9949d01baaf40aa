// The checksum of records, in each way it is made, against zlib's.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { crc32ByTable, crc32From, crc32OfText } from '../../broker/store/crc32.ts'
import { seeded } from '../helpers/random.ts'

test('crc32: of bytes from anywhere on, and of texts, as zlib says', { timeout: 20_000 }, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 2_000; round += 1) {
    const data = Buffer.from(Array.from({ length: 1 + random.below(600) }, () => random.below(256)))
    const start = random.below(data.length)
    const value = random.below(2 ** 32)
    const expected = crc32(data.subarray(start), value)
    assert.equal(crc32ByTable(data, start, value), expected)
    assert.equal(crc32From(data, start, value), expected)
  }
  for (const text of ['a', 's\0c', 'sensor 7/temperature', 'Ä', 'a€', '😀/x']) {
    assert.equal(crc32OfText(text), crc32(Buffer.from(text)))
  }
})
