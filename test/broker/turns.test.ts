// Turns: a connection that sends much at once is served for some milliseconds, then the others are, all in order.
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as nextRound } from 'node:timers/promises'
import type { Frame } from '../../broker/protocol/frames.ts'
import { Intake } from '../../broker/protocol/intake.ts'

const limits = { connectPacketMaxBytes: 16_384, inflightIn: 1_000, publishPerS: 0, publishBytesPerS: 0 }
/** How many packets come at once, and how long each takes. */
const packets = 100
const packetMs = 1

/** An intake whose packets are numbers from 0 to 99, in one chunk; `taken` tells in which order they were taken. */
function openIntake(name: string, taken: string[]): Intake {
  const intake = new Intake(new PassThrough(), limits, Date.now(), {
    paused() {},
    take({ body }: Frame) {
      const endsAt = performance.now() + packetMs
      while (performance.now() < endsAt);
      intake.published(0)
      taken.push(`${name}${body[0]}`)
      return undefined
    },
    failed: (error) => assert.fail(String(error)),
  })
  return intake
}

function numbered(count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => Buffer.from([0x30, 1, index])))
}

async function untilTaken(taken: readonly string[], count: number): Promise<void> {
  while (taken.length < count) await nextRound()
}

test('turns: a chunk of many packets does not keep the loop', { timeout: 20_000 }, async () => {
  const taken: string[] = []
  const intake = openIntake('', taken)
  intake.push(numbered(packets))
  assert.ok(taken.length < packets / 2, `${taken.length} of ${packets} in the first turn`)
  assert.ok(intake.held, 'the socket would be read on')
  let rounds = 0
  while (taken.length < packets) {
    await nextRound()
    rounds += 1
  }
  assert.ok(rounds > 3, `${rounds} rounds`)
  assert.deepEqual(taken, [...numbers(packets)])
  assert.ok(!intake.held)
})

test('turns: two that send much are served by turns, each in its order', { timeout: 20_000 }, async () => {
  const taken: string[] = []
  for (const name of ['a', 'b']) openIntake(name, taken).push(numbered(packets))
  await untilTaken(taken, 2 * packets)
  for (const name of ['a', 'b']) {
    const own = taken.filter((one) => one.startsWith(name)).map((one) => one.slice(1))
    assert.deepEqual(own, [...numbers(packets)])
  }
  const changes = taken.filter((one, index) => index > 0 && one[0] !== taken[index - 1]![0]).length
  assert.ok(changes > 5, `${changes} changes`)
})

test('turns: a connection that ends while it waits takes nothing more', { timeout: 20_000 }, async () => {
  const taken: string[] = []
  const intake = openIntake('', taken)
  intake.push(numbered(packets))
  const before = taken.length
  intake.stop()
  for (let round = 0; round < 5; round += 1) await nextRound()
  assert.equal(taken.length, before)
})

function* numbers(count: number): Generator<string> {
  for (let index = 0; index < count; index += 1) yield `${index}`
}
