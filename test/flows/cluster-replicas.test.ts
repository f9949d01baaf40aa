// A node is lost for good, with its disk: what its sessions had lies on another node, too.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { until } from '../chaos/crowd.ts'
import { RoamingClient } from '../chaos/roaming-client.ts'
import { type ClusterNode, startCluster } from '../helpers/cluster.ts'
import { connectRaw, kept } from '../helpers/raw-client.ts'

const timeout = 90_000
const waitMs = 30_000

async function startNodes(t: TestContext, names: readonly string[], settings?: string): Promise<ClusterNode[]> {
  const more = settings === undefined ? {} : { settings }
  return [...(await startCluster(t, { nodes: names, durability: 'os', ...more })).nodes]
}

interface Phone {
  readonly client: RoamingClient
  readonly received: string[]
}

function phoneOf(t: TestContext, clientId = 'phone'): Phone {
  const client = new RoamingClient({ clientId })
  t.after(() => client.destroy())
  const received: string[] = []
  client.onMessage = ({ payload }) => received.push(payload.toString())
  return { client, received }
}

function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => String(from + index))
}

let senders = 0

async function publishAll(
  t: TestContext,
  node: ClusterNode,
  topic: string,
  payloads: readonly string[],
  qos: 1 | 2 = 1,
): Promise<void> {
  senders += 1
  const client = new RoamingClient({ clientId: `sender ${senders}`, clean: true })
  t.after(() => client.destroy())
  await client.connect(node.port)
  await Promise.all(payloads.map((payload) => client.publish(topic, payload, qos)))
  await client.disconnect()
}

/** So many sessions of these nodes lie on another one, too, and there is no shadow of anything else. */
function replicated(nodes: readonly ClusterNode[], sessions: number): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const all = await Promise.all(nodes.map((node) => node.metrics()))
    const sum = (name: string): number => all.reduce((total, metrics) => total + (metrics.get(name) ?? 0), 0)
    const [complete, missing] = ['complete', 'missing'].map((state) => sum(`oriole_cluster_replicas{state="${state}"}`))
    return complete === sessions && missing === 0 && sum('oriole_cluster_shadows') === sessions
  }
  return until(`${sessions} sessions lie on two nodes`, isSo, waitMs)
}

function came(phone: Phone, text: string): Promise<void> {
  return until(`"${text}" comes`, () => phone.received.includes(text), waitMs)
}

test('cluster: a node is lost for good: its sessions go on at the others with all that was acknowledged', {
  timeout,
}, async (t) => {
  const [one, two, three] = (await startNodes(t, ['one', 'two', 'three'])) as [ClusterNode, ClusterNode, ClusterNode]
  const phones = numbered(0, 8).map((number) => phoneOf(t, `phone ${number}`))
  for (const { client } of phones) {
    await client.connect(one.port)
    await client.subscribe([{ topic: 'box/#', qos: 1 }])
  }
  // No waiting for the shadows: SUBACK has waited.
  await Promise.all(phones.slice(0, 4).map(({ client }) => client.disconnect()))
  await publishAll(t, one, 'box/1', numbered(0, 50))
  await publishAll(t, two, 'box/2', numbered(50, 100))
  await publishAll(t, three, 'box/3', numbered(100, 150))
  await one.destroy()
  // Whichever of the two holds the shadow.
  await Promise.all(phones.map(({ client }, index) => client.connect((index % 2 === 0 ? two : three).port)))
  assert.deepEqual(
    phones.map(({ client }) => client.sessionPresent),
    phones.map(() => true),
  )
  await publishAll(t, three, 'box/3', ['end'])
  for (const phone of phones) {
    await came(phone, 'end')
    assert.deepEqual([...new Set(phone.received)].sort(), [...numbered(0, 150), 'end'].sort())
  }
  // And again, with the two that are left.
  await replicated([two, three], 8)
})

test('cluster: a node comes back when its sessions have gone on: nothing comes twice, and nothing is left of them', {
  timeout,
}, async (t) => {
  const [one, two, three] = (await startNodes(t, ['one', 'two', 'three'])) as [ClusterNode, ClusterNode, ClusterNode]
  const phone = phoneOf(t)
  await phone.client.connect(one.port)
  await phone.client.subscribe([
    { topic: 'box', qos: 1 },
    { topic: 'exactly', qos: 2 },
  ])
  await phone.client.disconnect()
  await publishAll(t, two, 'box', numbered(0, 50))
  await publishAll(t, one, 'exactly', numbered(50, 100), 2)
  await one.kill('SIGKILL')
  await phone.client.connect(two.port)
  await publishAll(t, three, 'box', ['there'])
  await came(phone, 'there')
  await one.start()
  await until('the session is gone from one', async () => (await one.metric('oriole_sessions')) === 0, waitMs)
  await publishAll(t, one, 'box', ['end'])
  await came(phone, 'end')
  assert.deepEqual([...phone.received].sort(), [...numbered(0, 100), 'there', 'end'].sort())
  await replicated([one, two, three], 1)
})

test('cluster: what is in flight with QoS 2 when a node is lost comes once, with its packet identifier', {
  timeout,
}, async (t) => {
  const [one, two, three] = (await startNodes(t, ['one', 'two', 'three'])) as [ClusterNode, ClusterNode, ClusterNode]
  const first = await connectRaw(t, one.port, kept('phone'))
  await first.subscribe('exactly', { qos: 2 })
  await publishAll(t, two, 'exactly', ['delivered', 'released', 'sent'], 2)
  const [delivered, released, sent] = [
    await first.expect('publish'),
    await first.expect('publish'),
    await first.expect('publish'),
  ]
  for (const { messageId } of [delivered, released]) first.send({ cmd: 'pubrec', messageId: messageId! })
  await first.expect('pubrel')
  await first.expect('pubrel')
  first.send({ cmd: 'pubcomp', messageId: delivered.messageId! })
  await one.destroy()
  const second = await connectRaw(t, three.port, { ...kept('phone'), clean: false })
  // Whether PUBCOMP had arrived nobody knows: PUBREL may come again for both (MQTT-4.4.0-1), PUBLISH for the last alone.
  const releases = new Set<number>()
  for (;;) {
    const packet = await second.next()
    if (packet.cmd === 'pubrel') {
      releases.add(packet.messageId!)
      continue
    }
    assert.equal(packet.cmd, 'publish')
    if (packet.cmd !== 'publish') return
    assert.deepEqual([packet.messageId, packet.dup, String(packet.payload)], [sent.messageId, true, 'sent'])
    break
  }
  assert.equal(releases.has(released.messageId!), true)
  await publishAll(t, two, 'exactly', ['end'], 2)
  assert.equal(String((await second.expect('publish')).payload), 'end')
})

test('cluster: a session that ends, or starts clean, leaves no shadow; one that moves has one', {
  timeout,
}, async (t) => {
  const nodes = await startNodes(t, ['one', 'two', 'three'])
  const [one, two] = nodes as [ClusterNode, ClusterNode]
  const phone = phoneOf(t)
  const tablet = phoneOf(t, 'tablet')
  for (const { client } of [phone, tablet]) {
    await client.connect(one.port)
    await client.subscribe([{ topic: 'box', qos: 1 }])
  }
  await replicated(nodes, 2)
  await phone.client.connect(two.port)
  await replicated(nodes, 2)
  // Without a subscription there is nothing to lose.
  const clean = new RoamingClient({ clientId: 'phone', clean: true })
  t.after(() => clean.destroy())
  await clean.connect(one.port)
  await replicated(nodes, 1)
  // The shadow of a session that had a clean start is not found when its node is lost.
  await publishAll(t, two, 'box', ['one'])
  await came(tablet, 'one')
})

test('cluster: shadows move when nodes come, and there are none below three nodes unless the config says so', {
  timeout,
}, async (t) => {
  const cluster = await startCluster(t, { nodes: ['one', 'two', 'three'], durability: 'os' })
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
  // Three are known from here on: until it is forgotten a node counts.
  await three.kill('SIGTERM')
  assert.equal((await two.command('cluster', 'forget', 'three')).exitCode, 0)
  const phones = numbered(0, 6).map((number) => phoneOf(t, `phone ${number}`))
  for (const { client } of phones) {
    await client.connect(one.port)
    await client.subscribe([{ topic: 'box', qos: 1 }])
    await client.disconnect()
  }
  await publishAll(t, two, 'box', numbered(0, 20))
  await replicated([one, two], 0)
  // Their queues are copied.
  await three.start()
  await replicated([one, two, three], 6)
  await until('three holds some', async () => (await three.metric('oriole_cluster_shadows')) > 0, waitMs)
  await one.destroy()
  for (const [index, phone] of phones.entries()) {
    await phone.client.connect((index % 2 === 0 ? two : three).port)
    assert.equal(phone.client.sessionPresent, true)
    await came(phone, '19')
    assert.deepEqual(phone.received, numbered(0, 20))
  }
})

test('cluster: a shadow is no member of a shared group while the session lives', { timeout }, async (t) => {
  const nodes = await startNodes(t, ['one', 'two'], 'replicas: 1')
  const [one, two] = nodes as [ClusterNode, ClusterNode]
  const phone = phoneOf(t)
  await phone.client.connect(one.port)
  await phone.client.subscribe([{ topic: '$share/group/job', qos: 1 }])
  await phone.client.disconnect()
  await replicated(nodes, 1)
  // Its member is away: what is published waits for it, once.
  await publishAll(t, two, 'job', numbered(0, 20))
  await publishAll(t, one, 'job', numbered(20, 40))
  await phone.client.connect(one.port)
  await publishAll(t, two, 'job', ['end'])
  await came(phone, 'end')
  assert.deepEqual([...phone.received].sort(), [...numbered(0, 40), 'end'].sort())
  // When its node is lost it is, with what was kept for it there.
  await phone.client.disconnect()
  await publishAll(t, two, 'job', numbered(40, 60))
  await publishAll(t, one, 'job', numbered(60, 80))
  await one.destroy()
  await phone.client.connect(two.port)
  await came(phone, '79')
  await came(phone, '59')
  assert.equal(new Set(phone.received).size, 81)
  await publishAll(t, two, 'job', ['after'])
  await came(phone, 'after')
})
