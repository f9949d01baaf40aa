// What was handed over for a session that was not here by then, and is here again.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { handedOverVia } from '../../broker/delivery/handed-over.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import { arrivalStream, type StoreLimits } from '../../broker/store/store.ts'
import { connectClient } from '../helpers/client.ts'
import { startNode } from '../helpers/cluster-node.ts'
import { startRedis } from '../helpers/redis.ts'
import { committed, makeFolder, messageOf, recordLog } from '../helpers/store.ts'

const limits: StoreLimits = { queueMessages: 10_000, queueBytes: 10_000_000, queueAgeS: 3_600 }
/** More than one read of the log. */
const waiting = Array.from({ length: 1_200 }, (_, index) => String(index))

test('cluster: what strayed comes to the session once, however much it is', { timeout: 60_000 }, async (t) => {
  const folder = await makeFolder(t)
  const store = createLevelStore({ path: join(folder, 'data'), durability: 'os', limits, log: recordLog() })
  await store.open()
  const handedOver = { clientId: 'phone', qos: 1, retain: false, packetId: 0, released: false, via: undefined } as const
  for (const text of waiting) {
    store.append(messageOf('box', text, { via: handedOverVia(handedOver) }), [arrivalStream('phone')])
  }
  await committed(store)
  await store.close()

  const redis = await startRedis(t)
  await redis.kill()
  const node = await startNode(t, 'a', redis, { folder })
  const phone = await connectClient(t, node.url(), { clientId: 'phone', clean: false })
  await phone.client.subscribeAsync('box', { qos: 1 })
  await redis.start()
  await phone.messages(waiting.length)
  await phone.client.publishAsync('box', 'last', { qos: 1 })
  const texts = (await phone.messages(waiting.length + 1)).map(({ text }) => text)
  assert.deepEqual(texts, [...waiting, 'last'])
})
