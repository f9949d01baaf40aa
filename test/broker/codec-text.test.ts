// UTF-8 strings against the table and against Node's own decoder; the cache of topic names.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolViolation } from '../../broker/protocol/packets.ts'
import { readText, TextCache } from '../../broker/protocol/text.ts'
import { seeded } from '../helpers/random.ts'
import { badStrings, goodStrings } from '../hostile/rows/strings.ts'

const deadline = { timeout: 10_000 }

test('text: every ill-formed string of the table is malformed, at its beginning, middle and end', deadline, () => {
  for (const [name, bytes] of badStrings) {
    for (const [before, after] of [
      ['', ''],
      ['abc', ''],
      ['', 'abc'],
      ['é', '漢'],
    ] as const) {
      const body = Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])
      assert.throws(() => readText(body, 0, body.length), { reasonCode: 0x81 }, name)
    }
  }
})

test('text: every well-formed string of the table is kept as it is, U+FEFF too', deadline, () => {
  for (const [name, bytes] of goodStrings) {
    const text = readText(Buffer.from([0x61, ...bytes, 0x62]), 1, 1 + bytes.length)
    assert.deepEqual([...Buffer.from(text)], bytes, name)
  }
  assert.equal(readText(Buffer.from('\uFEFFa'), 0, 4), '\uFEFFa')
})

test('text: every character is accepted, every surrogate refused', deadline, () => {
  for (let code = 1; code <= 0x10ffff; code += code < 0x1_2000 ? 1 : 0x101) {
    const surrogate = code >= 0xd800 && code <= 0xdfff
    const bytes = surrogate
      ? Buffer.from([0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)])
      : Buffer.from(String.fromCodePoint(code))
    if (surrogate) assert.throws(() => readText(bytes, 0, 3), ProtocolViolation)
    else assert.equal(readText(bytes, 0, bytes.length), String.fromCodePoint(code))
  }
})

test('text: random bytes are judged as by a fatal TextDecoder', deadline, (t) => {
  const random = seeded(t)
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const interesting = [
    0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5,
  ]
  for (let round = 0; round < 100_000; round++) {
    const body = Buffer.from(Array.from({ length: 1 + random.below(6) }, () => random.pick(interesting)))
    assert.equal(
      attempt(() => readText(body, 0, body.length)),
      attempt(() => decoder.decode(body)),
      body.toString('hex'),
    )
  }
})

test('text: the cache answers only with what it was given, and knows no other bytes', deadline, (t) => {
  const random = seeded(t)
  const cache = new TextCache()
  for (let round = 0; round < 20_000; round++) {
    const body = Buffer.from(Array.from({ length: 1 + random.below(4) }, () => 0x61 + random.below(9)))
    const text = body.toString()
    assert.ok([undefined, text].includes(cache.get(body, 0, body.length)))
    cache.set(body, 0, body.length, text)
    assert.equal(cache.get(body, 0, body.length), text)
  }
  const umlaut = Buffer.from('ü')
  cache.set(umlaut, 0, 2, 'ü')
  assert.equal(cache.get(umlaut, 0, 2), undefined)
  const long = Buffer.alloc(129, 0x61)
  cache.set(long, 0, 129, long.toString())
  assert.equal(cache.get(long, 0, 129), undefined)
})

function attempt(read: () => string): string | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
