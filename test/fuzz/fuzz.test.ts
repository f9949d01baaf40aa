// A short run of the fuzzer; `npm run fuzz` is the long one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { seeded } from '../helpers/random.ts'
import { fuzz, fuzzConfig } from './fuzzer.ts'

test('fuzz: hostile clients for five seconds, and nobody else notices', { timeout: 60_000 }, async (t) => {
  const random = seeded(t)
  const broker = await startBroker(t, fuzzConfig)
  const witness = await connectClient(t, broker.url(), { clientId: 'witness', protocolVersion: 5 })
  const report = await fuzz({ port: broker.port(), random, seconds: 5, witness: witness.client })
  t.diagnostic(JSON.stringify(report))
  assert.ok(report.roundTrips > 5)
})
