// What waits for another node, until that node says that it has it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeStream } from '../../broker/cluster/cluster.ts'
import { Forwarder } from '../../broker/cluster/forwarder.ts'
import { createMemoryStore } from '../../broker/store/memory.ts'
import { openMeeting } from '../helpers/meeting.ts'
import { startRedis } from '../helpers/redis.ts'
import { messageOf, testLimits } from '../helpers/store.ts'

test('cluster-forwarder: it is not idle while something is on its way to Redis', { timeout: 20_000 }, async (t) => {
  const redis = await startRedis(t)
  const meeting = await openMeeting(t, redis, 'a')
  const store = createMemoryStore(testLimits, [])
  await store.open()
  const forwarder = new Forwarder('b', 0, { meeting, store, log: meeting.log, lost: () => {}, sent: () => {} })
  t.after(() => forwarder.stop())
  assert.equal(forwarder.isIdle, true)
  const sequence = store.append(messageOf('box', 'one'), [nodeStream('b')])
  await new Promise<void>((resolve) => store.commit(() => resolve()))
  let isInRedis = false
  forwarder.forward(sequence, () => {
    isInRedis = true
  })
  for (let turn = 0; !isInRedis; turn += 1) {
    // Also between the promises of one turn.
    for (let step = 0; step < 50 && !isInRedis; step += 1) {
      assert.equal(forwarder.isIdle, false, `in step ${step} of turn ${turn}`)
      await undefined
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(await meeting.redis.xlen(meeting.key('to', 'b')), 1)
  // Nobody has taken it.
  assert.equal(forwarder.isIdle, false)
})
