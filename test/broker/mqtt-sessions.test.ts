// Sessions: what a client finds when it comes back, who may come back to it, and when it is gone (MQTT 4.1, 3.1.2.11).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBroker } from '../helpers/broker.ts'
import { connectRaw, kept, tryConnect } from '../helpers/raw-client.ts'

const timeout = 20_000

for (const version of [3, 4, 5] as const) {
  test(`sessions: session present tells the truth (protocol level ${version})`, { timeout }, async (t) => {
    const port = (await startBroker(t)).port()
    const present = async (clean: boolean, keep: boolean): Promise<boolean> => {
      const properties = version === 5 && keep ? { properties: { sessionExpiryInterval: 100 } } : {}
      const { client, connack } = await tryConnect(t, port, { clientId: 'c', clean, version, ...properties })
      await client.leave()
      return connack.sessionPresent
    }
    // MQTT 3.1 has no such flag.
    const yes = version !== 3
    const keep = version === 5
    assert.equal(await present(false, keep), false, 'nothing was there')
    assert.equal(await present(false, keep), yes, 'it was kept')
    assert.equal(await present(true, false), false, 'a clean start ends it')
    assert.equal(await present(false, keep), false, 'and leaves nothing')
    assert.equal(await present(false, false), yes, 'it was kept until now')
    // A session of MQTT 5 with expiry 0 ended with its connection; before MQTT 5, clean session 0 keeps it.
    assert.equal(await present(false, false), version === 4)
  })
}

test('sessions: what came while a client was away waits for it, however long the broker tidies up', {
  timeout,
}, async (t) => {
  const port = (await startBroker(t)).port()
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a/#', { qos: 1 })
  await away.leave()
  const publisher = await connectRaw(t, port)
  for (let index = 0; index < 10; index += 1) await publisher.publishAcknowledged(`a/${index}`, `${index}`)
  // Longer than the broker's round in which it gives back the space of what nobody waits for.
  await new Promise((resolve) => setTimeout(resolve, 6_000))
  const back = await connectRaw(t, port, { ...kept('away'), answers: true })
  assert.deepEqual(await back.texts(10), ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
})
