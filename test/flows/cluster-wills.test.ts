// Wills of clients whose node is gone: published once, by the nodes that are left.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startCluster } from '../helpers/cluster.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'

const timeout = 60_000

function startThree(t: TestContext) {
  return startCluster(t, { nodes: ['one', 'two', 'three'] })
}

function willOf(clientId: string, willDelayInterval = 0) {
  const properties = { willDelayInterval }
  return {
    ...kept(clientId),
    will: { topic: 'wills', payload: Buffer.from(clientId), qos: 1, retain: false, properties } as const,
  }
}

test('cluster: wills of a killed node are published once, and not again when it is back', { timeout }, async (t) => {
  const { nodes } = await startThree(t)
  const [one, two, three] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]]
  const watcher = await connectRaw(t, two.port, { answers: true })
  await watcher.subscribe('wills', { qos: 1 })
  for (let index = 0; index < 5; index += 1) await connectRaw(t, one.port, willOf(`client ${index}`))
  await one.kill()
  const wills = await watcher.texts(5)
  assert.deepEqual(wills.sort(), ['client 0', 'client 1', 'client 2', 'client 3', 'client 4'])
  await one.start()
  // Comes behind whatever the node publishes after its start.
  const late = await connectRaw(t, one.port, willOf('late', 4))
  await late.cut()
  assert.deepEqual(await watcher.texts(1), ['late'])
  assert.equal(three.isRunning, true)
})

test('cluster: a will that waits is not published when its client comes to another node', { timeout }, async (t) => {
  const { nodes } = await startThree(t)
  const [one, two] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
  const watcher = await connectRaw(t, two.port, { answers: true })
  await watcher.subscribe('wills', { qos: 1 })
  const waits = await connectRaw(t, one.port, willOf('waits', 2))
  await waits.cut()
  await connectRaw(t, two.port, willOf('waits', 3600))
  await connectRaw(t, one.port, willOf('died', 4))
  await connectRaw(t, one.port, willOf('not back', 8))
  await one.kill()
  await connectRaw(t, two.port, willOf('died', 3600))
  assert.deepEqual(await watcher.texts(1), ['not back'])
  await one.start()
  const late = await connectRaw(t, one.port, willOf('late', 8))
  await late.cut()
  assert.deepEqual(await watcher.texts(1), ['late'])
})
