// The power goes off under load: of every file there is what strace saw being synced, and nothing acknowledged is lost.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { createLevelStore } from '../../broker/store/level.ts'
import { type Cleanup, temporaryFolder } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { readAll, recordLog } from '../helpers/store.ts'
import { type Acknowledgement, Acknowledgements, markOf, safeAt } from './acknowledged.ts'
import { diskBroker, roomyLimits } from './disk-broker.ts'
import { DiskModel } from './disk-model.ts'
import { SteadyClient } from './steady-client.ts'
import { canTrace, readTrace, type Step, stringsOf, tracedInto } from './strace.ts'

const everything = 'cut/#'
const topics = ['cut/a', 'cut/b'] as const
const readers: Readonly<Record<string, readonly string[]>> = {
  away: [everything],
  'away, two filters': topics,
  here: [everything],
}
const publisherNames = ['one', 'two']
/** On their way at once, of each publisher. */
const window = 50
const paddings = [50, 50, 8_000] as const
/** Other moments of the same run at which the power goes off. */
const moreCuts = 6

export interface PowercutReport {
  readonly lives: number
  readonly acknowledged: number
  /** How many calls were looked at. */
  readonly calls: number
  readonly tables: number
  /** Files with bytes that the power cut took away. */
  readonly cutFiles: number
  readonly againQos1: number
}

/** Throws AssertionError when a promise is broken. `messages`: in each life of the broker, of both publishers. */
export async function powercutRun(t: Cleanup, random: Random, messages: number): Promise<PowercutReport> {
  if (!(await canTrace())) throw new Error('strace is not installed, or this process may not trace others (ptrace)')
  const { port, dataPath, start } = await diskBroker(t)
  const traces = await temporaryFolder(t)
  const lives: (readonly Step[])[] = []
  const publishers = publisherNames.map((name) => new Publisher(port, name, random.pick(paddings)))
  const clients = Object.keys(readers).map((clientId) => new SteadyClient(port, clientId))
  const here = clients.at(-1)!
  t.after(() => {
    for (const client of [...clients, ...publishers.map((publisher) => publisher.client)]) client.destroy()
  })

  const lifetimes = random.chance() ? 2 : 1
  for (let life = 1; life <= lifetimes; life += 1) {
    const trace = join(traces, `${life}`)
    const broker = await start(tracedInto(trace))
    if (life === 1) await subscribeAll(clients)
    await here.connect()
    await Promise.all(publishers.map((publisher) => publisher.client.connect()))
    const loads = publishers.map((publisher) => publisher.load(messages / publishers.length))
    await publishers[0]!.acknowledgedMore(random.below(messages / publishers.length))
    await wait(random.below(5))
    await broker.kill('SIGKILL')
    await Promise.all([here, ...publishers.map((publisher) => publisher.client)].map((client) => client.ended()))
    for (const load of loads) load.stop()
    lives.push(await readTrace(trace))
  }

  const { model, acknowledged } = replay(dataPath, lives)
  checkSyncedFirst(model, acknowledged)
  await checkModel(model, dataPath, namesOnTheirWay(dataPath, lives))
  await checkCuts(t, dataPath, lives, random)

  await replaceFolder(dataPath, model.afterPowerCut(random))
  const broker = await start()
  await Promise.all(publishers.map((publisher) => publisher.finish()))
  let againQos1 = 0
  for (const client of clients) againQos1 += await checkReader(client, publishers)
  assert.equal(await broker.kill('SIGTERM'), 0, broker.output())
  return {
    lives: lives.length,
    acknowledged: acknowledged.length,
    calls: lives.reduce((sum, { length }) => sum + length, 0) / 2,
    tables: model.inodes.filter(({ name }) => name.endsWith('.ldb')).length,
    cutFiles: model.inodes.filter(({ length, syncedBytes }) => length > syncedBytes).length,
    againQos1,
  }
}

async function subscribeAll(clients: readonly SteadyClient[]): Promise<void> {
  for (const client of clients) {
    await client.connect()
    for (const filter of readers[client.clientId]!) await client.subscribe(filter, 2)
    await client.disconnect()
  }
}

interface Replayed {
  readonly model: DiskModel
  readonly acknowledged: readonly Acknowledgement[]
}

/** Up to this step; to the end when left out. */
function replay(path: string, lives: readonly (readonly Step[])[], end = Number.POSITIVE_INFINITY): Replayed {
  const model = new DiskModel(path)
  const acknowledgements = new Acknowledgements()
  let left = end
  for (const steps of lives) {
    model.restart()
    acknowledgements.restart()
    for (const step of steps) {
      if (left === 0) break
      left -= 1
      model.take(step)
      acknowledgements.take(step)
    }
  }
  return { model, acknowledged: acknowledgements.all }
}

/** No PUBACK and no PUBREC begins to leave before the sync that covers the record of its message has returned. */
function checkSyncedFirst(model: DiskModel, acknowledged: readonly Acknowledgement[]): void {
  assert.ok(acknowledged.length > 0, 'the trace shows no acknowledgement')
  const safe = safeAt(model)
  for (const { mark, kind, at } of acknowledged) {
    const safeStep = safe.get(mark)
    assert.ok(safeStep !== undefined, `${kind} of ${mark} left, and it was never synced`)
    assert.ok(safeStep < at, `${kind} of ${mark} left at step ${at}, the sync returned at step ${safeStep}`)
  }
}

/**
 * The model is worth something when without a power cut it says what is in the folder. Of the names in `open` nobody
 * can say it: their calls had not returned when the process was killed, and may have been carried out.
 */
async function checkModel(model: DiskModel, path: string, open: ReadonlySet<string>): Promise<void> {
  const whole = model.whole()
  for (const name of open) whole.delete(name)
  const found: string[] = []
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const name = join(entry.parentPath, entry.name).slice(path.length + 1)
    if (open.has(name)) continue
    found.push(name)
    const content = await readFile(join(path, name))
    // A write that had not returned when the process was killed may be in the file.
    const known = whole.get(name)
    assert.ok(known?.equals(content.subarray(0, known.length)), `${name} is not what strace saw`)
  }
  assert.deepEqual(found.sort(), [...whole.keys()].sort())
}

/** Of files that were being made, renamed or deleted when the process was killed. */
function namesOnTheirWay(path: string, lives: readonly (readonly Step[])[]): ReadonlySet<string> {
  const names = new Set<string>()
  for (const { call } of lives.flat()) {
    if (call.result !== undefined || !changesNames.has(call.name)) continue
    for (const text of stringsOf(call)) {
      const name = text.toString()
      if (name.startsWith(`${path}/`)) names.add(name.slice(path.length + 1))
    }
  }
  return names
}

const changesNames = new Set(['open', 'openat', 'creat', 'rename', 'unlink'])

/** At other moments than the last one: the data can be opened, and holds what was acknowledged by then. */
async function checkCuts(t: Cleanup, path: string, lives: readonly (readonly Step[])[], random: Random): Promise<void> {
  const steps = lives.reduce((sum, { length }) => sum + length, 0)
  const folder = await temporaryFolder(t)
  for (let cut = 0; cut < moreCuts; cut += 1) {
    const at = random.below(steps)
    const { model, acknowledged } = replay(path, lives, at)
    const copy = join(folder, `${cut}`)
    await replaceFolder(copy, model.afterPowerCut(random))
    const found = await marksIn(copy)
    for (const { mark } of acknowledged) assert.ok(found.has(mark), `${mark} is lost by a power cut at step ${at}`)
    await rm(copy, { recursive: true })
  }
}

/** What the session that never reads would get. */
async function marksIn(path: string): Promise<Set<string>> {
  const log = recordLog()
  const store = createLevelStore({ path, durability: 'disk', limits: roomyLimits, log })
  await store.open()
  try {
    const { payloads } = await readAll(store, [{ stream: everything, after: 0 }], 1_000)
    assert.deepEqual(log.errors, [])
    return new Set(payloads.map((payload) => payload.trimEnd()))
  } finally {
    await store.close()
  }
}

async function replaceFolder(path: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
  await rm(path, { recursive: true, force: true })
  await mkdir(path, { mode: 0o700 })
  for (const [name, content] of files) {
    await mkdir(dirname(join(path, name)), { recursive: true, mode: 0o700 })
    await writeFile(join(path, name), content, { mode: 0o600 })
  }
}

class Publisher {
  readonly client: SteadyClient
  readonly name: string
  sent = 0
  readonly #paddingBytes: number

  constructor(port: number, name: string, paddingBytes: number) {
    this.name = name
    this.#paddingBytes = paddingBytes
    this.client = new SteadyClient(port, name)
  }

  /** Even numbers with QoS 2. */
  publish(): Promise<void> {
    const number = this.sent
    this.sent += 1
    const payload = markOf(this.name, number).padEnd(this.#paddingBytes)
    return this.client.publish(topics[number % 3 === 0 ? 0 : 1], payload, number % 2 === 0 ? 2 : 1)
  }

  load(messages: number): { stop(): void } {
    let left = messages
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1
        await this.publish()
      }
    }
    for (let n = 0; n < window; n += 1) void lane()
    return {
      stop: () => {
        left = 0
      },
    }
  }

  acknowledgedMore(count: number): Promise<void> {
    const enough = this.client.acknowledged + count
    return this.client.until(() => this.client.acknowledged >= enough)
  }

  /** What was on its way is sent again; then the packet identifiers of what was acknowledged are used again. */
  async finish(): Promise<void> {
    await this.client.connect()
    assert.equal(this.client.sessionPresent, true, `the session of ${this.name} is gone`)
    this.client.useIdentifiersAgain()
    for (let n = 0; n < window; n += 1) void this.publish()
    await this.client.allAcknowledged()
  }
}

/** Returns how often a QoS 1 message came again. */
async function checkReader(client: SteadyClient, publishers: readonly Publisher[]): Promise<number> {
  await client.connect()
  assert.equal(client.sessionPresent, true, `the session of ${client.clientId} is gone`)
  for (const topic of topics) await client.publish(topic, 'end', 1)
  await client.until(() => client.received.filter(({ text }) => text === 'end').length >= topics.length)
  await client.disconnect()
  const times = new Map<string, number>()
  for (const { text } of client.received) times.set(text.trimEnd(), (times.get(text.trimEnd()) ?? 0) + 1)
  let again = 0
  for (const { name, sent } of publishers) {
    for (let number = 0; number < sent; number += 1) {
      const count = times.get(markOf(name, number)) ?? 0
      assert.ok(count > 0, `${client.clientId} never got ${markOf(name, number)}`)
      if (number % 2 === 1) again += count - 1
      else assert.equal(count, 1, `${client.clientId} got ${markOf(name, number)}, QoS 2, ${count} times`)
    }
  }
  return again
}
