// Wills of connected clients in Redis: what is written and taken out in turn is obeyed in turn, whatever Redis knows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClusterHouse } from '../../broker/cluster/cluster.ts'
import { RedisWills } from '../../broker/cluster/redis-wills.ts'
import { willKeys } from '../../broker/cluster/will-bytes.ts'
import { openMeeting } from '../helpers/meeting.ts'
import { startRedis } from '../helpers/redis.ts'
import { messageOf, recordLog, willOf } from '../helpers/store.ts'

test('cluster wills: one that waits and is taken out at once stays out, and one that is put anew stays', {
  timeout: 30_000,
}, async (t) => {
  const meeting = await openMeeting(t, await startRedis(t), 'a')
  const wills = new RedisWills(recordLog())
  // Nobody died: the house is not asked.
  wills.enter(meeting, {} as ClusterHouse)
  const [key] = willKeys(meeting, 'a')
  const armed = willOf(messageOf('wills', 'gone'), { delayS: 2 })
  wills.put('client', armed)
  // Redis knows no script, as after its start.
  await meeting.redis.script('FLUSH')
  wills.put('client', { ...armed, firesAt: 1 })
  wills.delete('client')
  await meeting.redis.ping()
  assert.deepEqual(await meeting.redis.hkeys(key), [])

  await meeting.redis.script('FLUSH')
  wills.put('client', armed)
  const taken = wills.take('client')
  wills.put('client', willOf(messageOf('wills', 'next')))
  assert.equal(await taken, true)
  assert.deepEqual(await meeting.redis.hkeys(key), ['client'])
})
