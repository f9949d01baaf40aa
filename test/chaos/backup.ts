// A backup of a broker under load, restored elsewhere: everything from before it, nothing from after it, and no holes.
import assert from 'node:assert/strict'
import { rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrokerProcess, type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient, type TestClient } from '../helpers/client.ts'
import { runCommand } from '../helpers/command.ts'
import type { Random } from '../helpers/random.ts'

const readers = ['reader 0', 'reader 1', 'reader 2']
const publishers = 4

export interface BackupReport {
  readonly acknowledgedBefore: number
  readonly inBackup: number
  readonly sentByItsEnd: number
}

/** Throws AssertionError when a promise is broken. */
export async function backupRun(t: Cleanup, random: Random): Promise<BackupReport> {
  const folder = await temporaryFolder(t)
  const broker = await startOn(t, folder, 'data')
  await leaveSessions(t, broker.urls[0]!)
  const load = await startLoad(t, broker.urls[0]!)
  await load.until(50 + random.below(500))

  const before = load.acknowledged()
  const made = await runCommand(t, ['backup', 'backup', '--data', 'data'], { cwd: folder })
  assert.equal(made.exitCode, 0, made.stderr)
  const after = load.sent()
  await load.until(600)
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

  const again = await startOn(t, folder, 'restored')
  let inBackup = 0
  for (const clientId of readers) {
    const reader = await connectClient(t, again.urls[0]!, { clientId, clean: false, protocolVersion: 4 })
    const got = await untilEnd(reader)
    inBackup = got.length
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
  return { acknowledgedBefore: sum(before), inBackup, sentByItsEnd: sum(after) }
}

export async function startOn(t: Cleanup, folder: string, data: string): Promise<BrokerProcess> {
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
export async function leaveSessions(t: Cleanup, url: string): Promise<void> {
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
async function startLoad(t: Cleanup, url: string): Promise<Load> {
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

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
