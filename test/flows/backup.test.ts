// A backup is the data as they were at one moment, also under load, and a broker that starts on it goes on from there.
import assert from 'node:assert/strict'
import { access, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type BrokerProcess, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient, type TestClient } from '../helpers/client.ts'
import { runCommand } from '../helpers/command.ts'

const timeout = 60_000
const readers = ['reader 0', 'reader 1', 'reader 2']
const publishers = 4

test('backup: under load it has everything from before it, nothing from after it, and no holes', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const broker = await start(t, folder, 'data')
  await leaveSessions(t, broker.urls[0]!)
  const load = await startLoad(t, broker.urls[0]!)
  await load.until(200)

  const before = load.acknowledged()
  const made = await runCommand(t, ['backup', 'backup', '--data', 'data'], { cwd: folder })
  assert.equal(made.exitCode, 0, made.stderr)
  const after = load.sent()
  await load.until(400)
  await load.stop()
  await broker.kill('SIGKILL')

  const checked = await runCommand(t, ['doctor', 'backup'], { cwd: folder })
  assert.equal(checked.exitCode, 0, checked.stdout)
  assert.match(checked.stdout, /^sessions +3$/m)
  const restored = await runCommand(t, ['restore', 'backup', 'restored'], { cwd: folder })
  assert.equal(restored.exitCode, 0, restored.stderr)
  assert.match(restored.stdout, /restored: restored, every record checked\n$/)
  await rm(join(folder, 'backup'), { recursive: true })
  assert.equal((await stat(join(folder, 'restored'))).mode & 0o777, 0o700)

  const again = await start(t, folder, 'restored')
  for (const clientId of readers) {
    const reader = await connectClient(t, again.urls[0]!, { clientId, clean: false, protocolVersion: 4 })
    const got = await untilEnd(reader)
    for (let publisher = 0; publisher < publishers; publisher += 1) {
      const numbers = got.filter(([from]) => from === publisher).map(([, number]) => number)
      const expected = numbers.map((_, index) => index)
      assert.deepEqual(numbers, expected, `${clientId} has holes of publisher ${publisher}`)
      assert.ok(numbers.length >= before[publisher]!, `${numbers.length} of ${before[publisher]} before the backup`)
      assert.ok(numbers.length <= after[publisher]!, `${numbers.length} of ${after[publisher]} sent by its end`)
    }
    await reader.end()
  }
  const fresh = await connectClient(t, again.urls[0]!)
  await fresh.client.subscribeAsync('kept/#')
  const kept = await fresh.messages(20)
  assert.deepEqual(new Set(kept.map(({ topic, text }) => `${topic} ${text}`)), new Set(keptTopics()))
  assert.equal(await again.kill('SIGTERM'), 0)
})

test('backup: of a stopped broker; what is damaged is not restored, and nothing is overwritten', {
  timeout,
}, async (t) => {
  const folder = await temporaryFolder(t)
  const broker = await start(t, folder, 'data')
  await leaveSessions(t, broker.urls[0]!)
  const socket = await stat(join(folder, 'data/oriole.sock'))
  assert.equal(socket.mode & 0o777, 0o600)
  await broker.kill('SIGTERM')
  await assert.rejects(access(join(folder, 'data/oriole.sock')))

  const oriole = (...args: string[]) => runCommand(t, args, { cwd: folder })
  const made = await oriole('backup', 'backup', '--config', 'oriole.yaml')
  assert.equal(made.exitCode, 0, made.stderr)
  assert.match(made.stdout, /^sessions +3\nsubscriptions +4$/m)
  assert.match((await oriole('backup', 'backup', '--data', 'data')).stderr, /ORI_STORE_OPEN: backup is not empty/)
  assert.match((await oriole('backup', 'data/inside', '--data', 'data')).stderr, /lies in data, which is copied/)
  assert.match((await oriole('restore', 'backup', 'data')).stderr, /ORI_STORE_OPEN: data is not empty/)
  assert.match((await oriole('restore', 'nowhere', 'new')).stderr, /ORI_STORE_OPEN: there is no data in nowhere/)
  assert.equal((await oriole('restore', 'backup')).exitCode, 2)

  const log = (await readdir(join(folder, 'backup/level'))).find((name) => name.endsWith('.log'))!
  await writeFile(join(folder, 'backup/level', log), 'not what was written')
  const refused = await oriole('restore', 'backup', 'new')
  assert.match(refused.stderr, /ORI_STORE_DAMAGED: the data in backup is damaged/)
  assert.equal(refused.exitCode, 1)
  assert.deepEqual(await readdir(join(folder, 'new')), [])
})

async function start(t: TestContext, folder: string, data: string): Promise<BrokerProcess> {
  await writeFile(
    join(folder, 'oriole.yaml'),
    `node: test
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${data}, durability: disk }
limits: { queueMessages: 100000, queueBytes: 100000000 }
log: { format: json }
admin: { enabled: false }
plugins: [auth-anonymous, acl-open]
`,
  )
  return spawnBroker(t, 'oriole.yaml', folder)
}

/** Three sessions with four subscriptions that are offline, and retained messages. */
async function leaveSessions(t: TestContext, url: string): Promise<void> {
  for (const clientId of readers) {
    const { client, end } = await connectClient(t, url, { clientId, clean: false })
    await client.subscribeAsync(['load/#', ...(clientId === 'reader 0' ? ['load/+'] : [])], { qos: 1 })
    await end()
  }
  const { client, end } = await connectClient(t, url)
  for (const line of keptTopics()) {
    const [topic, text] = line.split(' ') as [string, string]
    await client.publishAsync(topic, text, { qos: 1, retain: true })
  }
  await end()
}

function keptTopics(): string[] {
  return Array.from({ length: 20 }, (_, n) => `kept/${n} value-${n}`)
}

interface Load {
  until(messages: number): Promise<void>
  acknowledged(): number[]
  sent(): number[]
  stop(): Promise<void>
}

/** Each publisher sends numbers from 0 on, 20 on their way at once. */
async function startLoad(t: TestContext, url: string): Promise<Load> {
  const sent: number[] = []
  const acknowledged: number[] = []
  let stopped = false
  const runs: Promise<void>[] = []
  const clients: TestClient[] = []
  for (let publisher = 0; publisher < publishers; publisher += 1) {
    sent.push(0)
    acknowledged.push(0)
    const connected = await connectClient(t, url)
    clients.push(connected)
    const lane = async (): Promise<void> => {
      while (!stopped) {
        const number = sent[publisher]!
        sent[publisher] = number + 1
        await connected.client.publishAsync(`load/${publisher}`, `${publisher} ${number}`, { qos: 1 })
        acknowledged[publisher]! += 1
      }
    }
    for (let n = 0; n < 20; n += 1) runs.push(lane())
  }
  return {
    async until(messages) {
      while (acknowledged.some((count) => count < messages)) await new Promise((turn) => setImmediate(turn))
    },
    acknowledged: () => [...acknowledged],
    sent: () => [...sent],
    async stop() {
      stopped = true
      await Promise.all(runs)
      for (const { end } of clients) await end()
    },
  }
}

/** Everything queued comes before what is published now. */
async function untilEnd(reader: TestClient): Promise<[publisher: number, number: number][]> {
  await reader.client.publishAsync('load/end', 'end end', { qos: 1 })
  for (let count = 1; ; count += 1) {
    const received = await reader.messages(count)
    if (received[count - 1]!.text !== 'end end') continue
    const whole = received.filter(({ text }) => text !== 'end end')
    return whole.map(({ text }) => text.split(' ').map(Number) as [number, number])
  }
}
