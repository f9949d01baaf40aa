// Turns of a shared group that one may not take any more go to a member on another node when there is none here.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { clusterKey } from '../helpers/cluster-node.ts'
import { HouseRules, pluginEntry } from '../helpers/house-rules.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'
import { startRedis } from '../helpers/redis.ts'

const filter = '$share/workers/jobs/#'
const jobs = Array.from({ length: 6 }, (_, index) => `jobs/${index}`)

async function startNode(t: TestContext, node: string, redisUrl: string) {
  const folder = await temporaryFolder(t)
  const rules = new HouseRules()
  const broker = await startBroker(
    t,
    `
node: ${node}
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${join(folder, 'data')}, durability: os }
admin: { enabled: false }
plugins: [${pluginEntry(rules)}]
cluster: { key: "${clusterKey}", redis: { url: "${redisUrl}" } }
`,
    folder,
  )
  return { rules, port: broker.port() }
}

test('cluster: turns of a member whose right is gone go to a member on another node, connected or away', {
  timeout: 60_000,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis.url), await startNode(t, 'b', redis.url)]
  for (const isAway of [false, true]) {
    const [alice, bob] = [`alice ${isAway}`, `bob ${isAway}`]
    for (const node of [a, b]) node.rules.subscribe = () => true
    const receiver = await connectRaw(t, a.port, { ...kept(alice), answers: true })
    const loser = await connectRaw(t, b.port, {
      ...kept(bob),
      properties: { sessionExpiryInterval: 3600, receiveMaximum: 1 },
    })
    await loser.subscribe(filter, { qos: 1 })
    const sender = await connectRaw(t, b.port, { clientId: 'sender' })
    for (const topic of jobs) assert.equal(await sender.publishAcknowledged(topic, topic), 0)
    assert.deepEqual(await loser.texts(1), [jobs[0]])
    await receiver.subscribe(filter, { qos: 1 })
    if (isAway) await receiver.leave()
    b.rules.subscribe = () => false
    await b.rules.changed()
    const back = isAway ? await connectRaw(t, a.port, { ...kept(alice), answers: true }) : receiver
    assert.deepEqual((await back.texts(5)).sort(), jobs.slice(1))
    await loser.leave({ sessionExpiryInterval: 0 })
    assert.deepEqual(await back.texts(1), [jobs[0]])
    await back.leave({ sessionExpiryInterval: 0 })
  }
})

test('cluster: a message that no member of its group may have does not go to and fro between their nodes', {
  timeout: 60_000,
}, async (t) => {
  const redis = await startRedis(t)
  const [a, b] = [await startNode(t, 'a', redis.url), await startNode(t, 'b', redis.url)]
  for (const { rules, port } of [a, b]) {
    rules.subscribe = () => ({ allow: true, withhold: (topic) => topic === 'jobs/secret' })
    const member = await connectRaw(t, port, { clientId: `member at ${port}`, answers: true })
    await member.subscribe(filter, { qos: 1 })
  }
  const sender = await connectRaw(t, a.port, { clientId: 'sender' })
  for (let n = 0; n < 5; n += 1) assert.equal(await sender.publishAcknowledged('jobs/secret', String(n)), 0)
  for (let n = 0; n < 200; n += 1) await sender.publishAcknowledged('jobs/open', String(n))
  const client = new Redis(redis.port)
  t.after(() => client.disconnect())
  client.on('error', () => {})
  const entries = async (node: string): Promise<number> => {
    const key = `{oriole:oriole}:to:${node}`
    if ((await client.exists(key)) === 0) return 0
    const info = (await client.xinfo('STREAM', key)) as unknown[]
    return Number(info[info.indexOf('entries-added') + 1])
  }
  const added = (await entries('a')) + (await entries('b'))
  assert.ok(added < 20, `${added} entries`)
})
