// What crosses Redis between nodes, without a Redis: bodies of frames, seals, and the guard before mqemitter.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  FrameReader,
  frameBodyMaxBytes,
  frameMaxBytes,
  type Outgoing,
  packFrames,
} from '../../broker/cluster/frames.ts'
import { Guard, type GuardOptions } from '../../broker/cluster/guard.ts'
import { type FrameKind, frameKinds } from '../../broker/cluster/meeting.ts'
import { createSeal } from '../../broker/cluster/seal.ts'
import { seeded } from '../helpers/random.ts'

const timeout = 20_000
const MiB = 1024 * 1024

function readAll(frames: readonly Buffer[]): Outgoing[] {
  const reader = new FrameReader()
  const read: Outgoing[] = []
  for (const frame of frames) assert.ok(reader.read(frame, (kind, body) => void read.push({ kind, body })))
  return read
}

test('frames: many small messages are one frame, and come out in order', { timeout }, () => {
  const sent = Array.from(
    { length: 1_000 },
    (_, index): Outgoing => ({
      kind: frameKinds[index % frameKinds.length]!,
      body: Buffer.from(`message ${index}`),
    }),
  )
  const frames = packFrames(sent)
  assert.equal(frames.length, 1)
  assert.deepEqual(readAll(frames), sent)
})

test('frames: random sizes around the limit come out as they went in, no frame too large', { timeout }, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 20; round += 1) {
    const sizes = Array.from({ length: 1 + random.below(6) }, () =>
      random.pick([0, 1, random.below(300), frameBodyMaxBytes - 13 + random.below(3) - 1, random.below(3 * MiB)]),
    )
    const sent = sizes.map(
      (size, index): Outgoing => ({
        kind: random.pick(frameKinds),
        body: Buffer.alloc(size, index + 1),
      }),
    )
    const frames = packFrames(sent)
    assert.ok(frames.every((frame) => frame.length <= frameBodyMaxBytes))
    const read = readAll(frames)
    assert.deepEqual(
      read.map(({ kind, body }) => [kind, body.length]),
      sent.map(({ kind, body }) => [kind, body.length]),
    )
    assert.ok(read.every(({ body }, index) => body.equals(sent[index]!.body)))
  }
})

test('frames: a message of which a piece is missing is dropped whole, and the next one arrives', { timeout }, () => {
  const frames = packFrames([
    { kind: 'messages', body: Buffer.alloc(3 * MiB, 1) },
    { kind: 'messages', body: Buffer.alloc(2 * MiB, 2) },
  ])
  assert.equal(frames.length, 4 + 3)
  for (let lost = 0; lost < frames.length; lost += 1) {
    const read: number[] = []
    const reader = new FrameReader()
    for (const frame of frames.filter((_, index) => index !== lost)) {
      reader.read(frame, (_kind, body) => {
        assert.ok(body.every((byte) => byte === body[0]))
        read.push(body[0]!)
      })
    }
    assert.deepEqual(read, lost < 4 ? [2] : [1], `frame ${lost} lost`)
  }
})

test('frames: random bytes throw nothing and bring nothing up that was not sent', { timeout }, (t) => {
  const random = seeded(t)
  const whole = packFrames([
    { kind: 'interest', body: Buffer.from('one') },
    { kind: 'session', body: Buffer.from('two') },
  ])[0]!
  for (let round = 0; round < 5_000; round += 1) {
    const bytes = Buffer.from(whole)
    const reader = new FrameReader()
    for (let change = random.below(4); change >= 0; change -= 1) bytes[random.below(bytes.length)] = random.below(256)
    const cut = bytes.subarray(0, random.below(bytes.length + 1))
    reader.read(random.chance() ? cut : random.bytes(200), (_kind, body) => assert.ok(body.length <= whole.length * 2))
  }
})

test('seal: it opens with the same key, purpose and context, and with nothing else', { timeout }, () => {
  const config = { name: 'c', key: 'sixteen bytes at least' }
  const stream = createSeal(config, 'stream')
  const body = Buffer.from('the body')
  const sealed = stream.seal(['node-1', 'message'], body)
  assert.deepEqual(stream.open(['node-1', 'message'], sealed), body)
  assert.equal(stream.open(['node-2', 'message'], sealed), undefined)
  assert.equal(stream.open(['node-1m', 'essage'], sealed), undefined)
  assert.equal(createSeal(config, 'bus').open(['node-1', 'message'], sealed), undefined)
  assert.equal(createSeal({ ...config, name: 'd' }, 'stream').open(['node-1', 'message'], sealed), undefined)
  assert.equal(
    createSeal({ ...config, key: 'sixteen bytes at leasT' }, 'stream').open(['node-1', 'message'], sealed),
    undefined,
  )
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed)
    changed[at] = changed[at]! ^ 1
    assert.equal(stream.open(['node-1', 'message'], changed), undefined)
    assert.equal(stream.open(['node-1', 'message'], sealed.subarray(0, at)), undefined)
  }
  assert.deepEqual(stream.open(['a'], stream.seal(['a'], Buffer.alloc(0))), Buffer.alloc(0))
})

interface Door {
  readonly guard: Guard
  readonly members: Set<string>
  readonly refused: string[]
  readonly accepted: string[]
  strangers: number
}

function door(run = '00000000000000aa', key = 'sixteen bytes at least', send = (_frame: Buffer): void => {}): Door {
  const door = { members: new Set<string>(), refused: [] as string[], accepted: [] as string[], strangers: 0 }
  const options: GuardOptions = {
    seal: createSeal({ name: 'c', key }, 'bus'),
    run,
    isMember: (sender) => door.members.has(sender),
    onStranger: () => {
      door.strangers += 1
    },
    onRefused: (why) => void door.refused.push(why),
  }
  const guard = new Guard(options, async (_channel, frame) => send(frame))
  guard.subConn.on('messageBuffer', (_channel, packet: Buffer) => void door.accepted.push(packet.toString()))
  return Object.assign(door, { guard })
}

/** The frames that a node with this run and key publishes. */
function framesOf(run: string, channel: string, packets: readonly string[], key?: string): Buffer[] {
  const frames: Buffer[] = []
  const sender = door(run, key, (frame) => void frames.push(frame))
  for (const packet of packets) void sender.guard.pubConn.publish(channel, Buffer.from(packet))
  return frames
}

const other = '00000000000000bb'
const channel = Buffer.from('channel')

test('guard: frames of a member pass in order, once, on their own channel only', { timeout }, () => {
  const { guard, members, refused, accepted } = door()
  members.add(other)
  const [one, two, three] = framesOf(other, 'channel', ['one', 'two', 'three']) as [Buffer, Buffer, Buffer]
  guard.receive(channel, one)
  guard.receive(channel, one)
  guard.receive(Buffer.from('another'), two)
  guard.receive(channel, three)
  guard.receive(channel, two)
  assert.deepEqual(accepted, ['one', 'three'])
  assert.deepEqual(refused, ['repeated', 'seal', 'repeated'])
})

test('guard: a stranger under our key waits until the leases were read, then passes or is refused', { timeout }, () => {
  const at = door()
  const frames = framesOf(other, 'channel', ['one', 'two'])
  for (const frame of frames) at.guard.receive(channel, frame)
  assert.deepEqual([at.accepted, at.refused, at.strangers], [[], [], 2])
  at.members.add(other)
  at.guard.release()
  assert.deepEqual(at.accepted, ['one', 'two'])
  for (const frame of framesOf('00000000000000cc', 'channel', ['three'])) at.guard.receive(channel, frame)
  at.guard.release()
  assert.deepEqual([at.accepted, at.refused], [['one', 'two'], ['sender']])
})

test('guard: strangers are held only so many', { timeout }, () => {
  const at = door()
  for (const frame of framesOf(other, 'channel', Array.from({ length: 1_000 }, String)))
    at.guard.receive(channel, frame)
  assert.equal(at.refused.length, 1_000 - 256)
  at.members.add(other)
  at.guard.release()
  assert.equal(at.accepted.length, 256)
})

test('guard: another key, another version, too short, too large, changed: all refused; own frames are passed over', {
  timeout,
}, (t) => {
  const random = seeded(t)
  const at = door()
  at.members.add(other)
  const [good] = framesOf(other, 'channel', ['good']) as [Buffer]
  at.guard.receive(channel, framesOf(other, 'channel', ['bad'], 'another key of 16 bytes')[0]!)
  const version = Buffer.from(good)
  version[17] = 99
  at.guard.receive(channel, version)
  at.guard.receive(channel, Buffer.alloc(0))
  at.guard.receive(channel, Buffer.alloc(frameMaxBytes + 1))
  assert.deepEqual(at.refused, ['seal', 'version', 'size', 'size'])
  for (let round = 0; round < 5_000; round += 1) {
    const changed = Buffer.from(good)
    const place = random.below(changed.length)
    changed[place] = changed[place]! ^ (1 + random.below(255))
    at.guard.receive(channel, random.chance() ? changed : random.bytes(300))
  }
  at.guard.receive(channel, framesOf('00000000000000aa', 'channel', ['mine'])[0]!)
  assert.equal(at.refused.length, 5_004)
  assert.deepEqual(at.accepted, [])
  at.guard.receive(channel, good)
  assert.deepEqual(at.accepted, ['good'])
})

test('guard: what a listener throws is a refused frame, and the next one passes', { timeout }, () => {
  const at = door()
  at.members.add(other)
  let isFirst = true
  at.guard.subConn.on('messageBuffer', () => {
    if (isFirst) {
      isFirst = false
      throw new Error('cannot read it')
    }
  })
  for (const frame of framesOf(other, 'channel', ['one', 'two'])) at.guard.receive(channel, frame)
  assert.deepEqual(at.refused, ['content'])
  assert.deepEqual(at.accepted, ['one', 'two'])
})

test('frames: every kind has a number that stays', { timeout }, () => {
  // The number goes over the wire: a new kind comes at the end, or the bus version changes.
  const expected: readonly FrameKind[] = [
    'heartbeat',
    'question',
    'answer',
    'interest',
    'messages',
    'session',
    'access',
  ]
  assert.deepEqual(frameKinds.slice(0, expected.length), expected)
})
