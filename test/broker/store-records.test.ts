// Records that older versions of the broker wrote are read as what they meant.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { subscriptionKey } from '../../broker/store/keys.ts'
import { check, decodeSubscription, encodeSubscription } from '../../broker/store/records.ts'
import { subscriptionOf } from '../helpers/store.ts'

const key = subscriptionKey('c', 'a/#')
const subscription = subscriptionOf('a/#', { qos: 1, since: 7, subscriptionId: 9 })

test('records: a subscription of before there was `keptUntil` has none', { timeout: 5_000 }, () => {
  const old = Buffer.from('011f851fb901401c000000000000000000090003612f23', 'hex')
  check(key, old)
  assert.deepEqual(decodeSubscription(old), subscription)
  assert.deepEqual(encodeSubscription(key, subscription), old)
})

test('records: a subscription keeps its `keptUntil`', { timeout: 5_000 }, () => {
  const lowered = { ...subscription, qos: 0 as const, keptUntil: 2 ** 50 }
  const record = encodeSubscription(key, lowered)
  check(key, record)
  assert.deepEqual(decodeSubscription(record), lowered)
})
