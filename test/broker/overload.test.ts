// The limit on event loop delay: lasting delay refuses new clients, a single pause does not.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { openConfig, startBroker } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'

/** Holds the event loop up. */
function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('overload: one pause right after the start refuses nobody', { timeout: 20_000 }, async (t) => {
  const broker = await startBroker(t)
  block(700)
  const client = await connectClient(t, broker.url())
  await client.client.publishAsync('a', 'b', { qos: 1 })
})

test('overload: ten seconds of delay refuse new clients, keep those who are there, and show in /ready', {
  timeout: 40_000,
}, async (t) => {
  const broker = await startBroker(
    t,
    openConfig.replace('admin: { enabled: false }', 'admin: { port: 0 }').concat('limits: { loopDelayMs: 50 }\n'),
  )
  const early = await connectClient(t, broker.url())
  const until = performance.now() + 11_000
  while (performance.now() < until) {
    block(120)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const late = connect(broker.port(), '127.0.0.1')
  late.on('error', () => {})
  await once(late, 'close')
  await early.client.publishAsync('a', 'b', { qos: 1 })
  const [response] = await once(request(`${broker.running.adminUrl}/ready`).end(), 'response')
  assert.equal(response.statusCode, 503)
  response.resume()
})
