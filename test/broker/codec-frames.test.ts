// The frame reader: Remaining Length, limits, pieces, and how little it holds.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameReader } from '../../broker/protocol/frames.ts'
import { ProtocolViolation } from '../../broker/protocol/packets.ts'

const deadline = { timeout: 10_000 }
const mebibyte = 1_048_576
const largest = 268_435_455

/** Table 1-1 of the standard: the first and the last value of each size. */
const lengths: readonly (readonly [bytes: readonly number[], value: number])[] = [
  [[0x00], 0],
  [[0x7f], 127],
  [[0x80, 0x01], 128],
  [[0xff, 0x7f], 16_383],
  [[0x80, 0x80, 0x01], 16_384],
  [[0xff, 0xff, 0x7f], 2_097_151],
  [[0x80, 0x80, 0x80, 0x01], 2_097_152],
]

test('frames: the remaining length is read as in table 1-1, whole and byte by byte', deadline, () => {
  for (const [bytes, value] of lengths) {
    const packet = Buffer.concat([Buffer.from([0x30, ...bytes]), Buffer.alloc(value, 7), Buffer.from([0xc0])])
    const reader = new FrameReader(largest)
    reader.push(packet)
    assertFrame(reader, 0x30, value)
    const slow = new FrameReader(largest)
    for (const byte of packet.subarray(0, 1 + bytes.length)) {
      assert.equal(slow.next(), undefined)
      slow.push(Buffer.from([byte]))
    }
    if (value > 0) assert.equal(slow.next(), undefined)
    slow.push(packet.subarray(1 + bytes.length))
    assertFrame(slow, 0x30, value)
  }
})

test('frames: a remaining length that is too long or not minimal is malformed, however it is split', deadline, () => {
  const wrong = [
    [0x80, 0x00],
    [0xff, 0x00],
    [0x80, 0x80, 0x00],
    [0x81, 0x80, 0x80, 0x00],
    [0xff, 0xff, 0xff, 0xff],
    [0x80, 0x80, 0x80, 0x80, 0x01],
  ]
  for (const length of wrong) {
    const bytes = Buffer.from([0x30, ...length])
    for (let split = 0; split < bytes.length; split++) {
      const reader = new FrameReader(1_000)
      assert.equal(
        violationOf(() => {
          reader.push(bytes.subarray(0, split))
          reader.next()
          reader.push(bytes.subarray(split))
          reader.next()
        }),
        0x81,
      )
    }
  }
})

test('frames: a packet over the limit is refused at its fixed header, the limit itself passes', deadline, () => {
  const reader = new FrameReader(100)
  reader.push(Buffer.from([0x30, 99]))
  assert.equal(
    violationOf(() => reader.next()),
    0x95,
  )
  const exact = new FrameReader(100)
  exact.push(Buffer.from([0x30, 98, ...new Array<number>(98).fill(1)]))
  assertFrame(exact, 0x30, 98)
  exact.maxBytes = 101
  exact.push(Buffer.from([0x30, 99, ...new Array<number>(99).fill(1)]))
  assertFrame(exact, 0x30, 99)
})

test('frames: a packet in one chunk is not copied, and an idle reader holds nothing', deadline, () => {
  const chunk = Buffer.from([0x30, 2, 1, 2, 0xc0, 0])
  const reader = new FrameReader(100)
  reader.push(chunk)
  const frame = reader.next()
  assert.equal(frame?.body.buffer, chunk.buffer)
  assert.ok(!reader.idle)
  assert.equal(reader.nextHeader, 0xc0)
  assertFrame(reader, 0xc0, 0)
  assert.ok(reader.idle)
  assert.equal(reader.nextHeader, undefined)
  assert.equal(reader.next(), undefined)
})

test('frames: what was pushed while nobody took frames comes out in order', deadline, () => {
  const reader = new FrameReader(100)
  for (const byte of [0x30, 2, 1, 2, 0x40, 2, 0, 9, 0xc0, 0]) reader.push(Buffer.from([byte]))
  assertFrame(reader, 0x30, 2)
  assertFrame(reader, 0x40, 2)
  assertFrame(reader, 0xc0, 0)
  assert.equal(reader.next(), undefined)
})

test('frames: a megabyte that comes byte by byte takes linear time', deadline, () => {
  const reader = new FrameReader(mebibyte + 100)
  reader.push(Buffer.from([0x30, 0x80, 0x80, 0x40]))
  const byte = Buffer.from([5])
  const start = process.cpuUsage()
  for (let count = 1; count < mebibyte; count++) {
    reader.push(byte)
    assert.equal(reader.next(), undefined)
  }
  reader.push(byte)
  const frame = reader.next()
  assert.equal(frame?.body.length, mebibyte)
  assert.ok(frame.body.every((value) => value === 5))
  // Tens of milliseconds; copying all of it for each byte takes minutes. A test's deadline cannot end a busy loop.
  assert.ok(process.cpuUsage(start).user < 5_000_000)
})

test('frames: an announced megabyte costs no memory before its bytes come', deadline, () => {
  const before = process.memoryUsage().arrayBuffers
  const readers = Array.from({ length: 200 }, () => {
    const reader = new FrameReader(2 * mebibyte)
    reader.push(Buffer.from([0x30, 0x80, 0x80, 0x40, 1, 2, 3]))
    assert.equal(reader.next(), undefined)
    return reader
  })
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 * mebibyte)
  assert.ok(readers.every((reader) => !reader.idle))
})

test('frames: after clear nothing is held', deadline, () => {
  const reader = new FrameReader(100)
  reader.push(Buffer.from([0x30, 20, 1, 2]))
  reader.next()
  reader.clear()
  assert.ok(reader.idle)
  reader.push(Buffer.from([0xc0, 0]))
  assertFrame(reader, 0xc0, 0)
})

function assertFrame(reader: FrameReader, header: number, length: number): void {
  const frame = reader.next()
  assert.equal(frame?.header, header)
  assert.equal(frame.body.length, length)
}

function violationOf(action: () => void): number | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    assert.ok(error instanceof ProtocolViolation)
    return error.reasonCode
  }
}
