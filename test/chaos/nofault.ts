// Nothing goes wrong: many publishers, topics that are stored and topics that are not, and nobody may miss a message.
import assert from 'node:assert/strict'
import type { Cleanup } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'
import { diskBroker } from './disk-broker.ts'
import { LightClient } from './light-client.ts'

const publishers = 50
/** On their way at once, of each publisher. */
const window = 20

/** A session that is away wants the first ones, so they go through the log; nobody has to find the others later. */
const topics = ['queue/0', 'queue/1', 'queue/2', 'free/0', 'free/1', 'free/2'] as const
type Topic = (typeof topics)[number]

interface ReaderKind {
  readonly filters: readonly string[]
  readonly isClean: boolean
  /** `late`: away for the first half, then reads what waited while more comes. */
  readonly presence: 'here' | 'away' | 'late'
  wants(topic: Topic): boolean
}

const isQueued = (topic: Topic): boolean => topic.startsWith('queue/')

const readers: Readonly<Record<string, ReaderKind>> = {
  'all of it': { filters: ['#'], isClean: true, presence: 'here', wants: () => true },
  overlapping: {
    filters: ['queue/+', 'queue/1', 'free/#'],
    isClean: true,
    presence: 'here',
    wants: () => true,
  },
  'not stored': { filters: ['free/#'], isClean: true, presence: 'here', wants: (topic) => !isQueued(topic) },
  'here and kept': { filters: ['queue/#'], isClean: false, presence: 'here', wants: isQueued },
  'late and kept': { filters: ['queue/0', 'queue/+'], isClean: false, presence: 'late', wants: isQueued },
  'away, all': { filters: ['queue/#'], isClean: false, presence: 'away', wants: isQueued },
  'away, one': { filters: ['queue/2'], isClean: false, presence: 'away', wants: (topic) => topic === 'queue/2' },
}

export interface NofaultReport {
  readonly published: number
  readonly delivered: number
}

/** Throws AssertionError when a message is missed, comes twice, or after a later one of its publisher. */
export async function nofaultRun(t: Cleanup, random: Random, messages: number): Promise<NofaultReport> {
  const { port, start } = await diskBroker(t)
  const broker = await start()
  const all = Object.entries(readers).map(([clientId, kind]) => new Reader(port, clientId, kind))
  const clients = Array.from({ length: publishers }, (_, n) => new LightClient({ port, clientId: `publisher ${n}` }))
  t.after(() => {
    for (const client of [...clients, ...all.map((reader) => reader.client)]) client.destroy()
  })
  for (const reader of all) await reader.begin()
  await Promise.all(clients.map((client) => client.connect()))

  const each = Math.ceil(messages / publishers)
  const sent = clients.map(() => Array.from({ length: each }, () => random.pick(topics)))
  for (const reader of all) reader.expect(sent)
  let acknowledged = 0
  const halfway = Math.floor((each * publishers) / 2)
  const late = all.filter(({ kind }) => kind.presence === 'late')
  await Promise.all(
    clients.map((client, publisher) =>
      publishAll(client, publisher, sent[publisher]!, () => {
        acknowledged += 1
        if (acknowledged === halfway) for (const reader of late) reader.connect()
      }),
    ),
  )

  let delivered = 0
  for (const reader of all) {
    if (reader.kind.presence === 'away') reader.connect()
    await reader.complete()
    delivered += reader.count
  }
  await noneTwice(clients[0]!, all)
  assert.equal(await broker.kill('SIGTERM'), 0, broker.output())
  return { published: acknowledged, delivered }
}

async function publishAll(
  client: LightClient,
  publisher: number,
  sent: readonly Topic[],
  onAcknowledged: () => void,
): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let number = next++; number < sent.length; number = next++) {
      await client.publishAcknowledged(sent[number]!, Buffer.from(`${publisher} ${number}`))
      onAcknowledged()
    }
  }
  await Promise.all(Array.from({ length: window }, lane))
}

/** Whatever is still on its way to the readers is there before a message that is published now. */
async function noneTwice(publisher: LightClient, all: readonly Reader[]): Promise<void> {
  const ends = all.map((reader) => reader.ended)
  for (const topic of topics) await publisher.publishAcknowledged(topic, Buffer.from('end'))
  await Promise.all(ends)
  for (const reader of all) reader.check()
}

class Reader {
  readonly kind: ReaderKind
  readonly client: LightClient
  readonly ended: Promise<void>
  count = 0
  readonly #name: string
  /** By publisher: the numbers that are to come, in their order. */
  #expected: number[][] = []
  readonly #next: number[] = []
  #total = 0
  #error: Error | undefined
  #look = () => {}
  #connected: Promise<void> = Promise.resolve()

  constructor(port: number, name: string, kind: ReaderKind) {
    this.#name = name
    this.kind = kind
    this.client = new LightClient({ port, clientId: name, clean: kind.isClean })
    let ends = topics.filter((topic) => kind.wants(topic)).length
    let hasEnded = () => {}
    this.ended = new Promise((resolve) => {
      hasEnded = resolve
    })
    this.client.onMessage = (_topic, payload) => {
      const text = payload.toString()
      if (text === 'end') ends -= 1
      else this.#take(text)
      if (ends === 0) hasEnded()
      this.#look()
    }
  }

  async begin(): Promise<void> {
    await this.client.connect()
    for (const filter of this.kind.filters) await this.client.subscribe(filter, 1)
    if (this.kind.presence !== 'here') await this.client.disconnect()
  }

  connect(): void {
    this.#connected = this.client.connect()
    this.#connected.catch(() => {})
  }

  expect(sent: readonly (readonly Topic[])[]): void {
    this.#expected = sent.map((list) => list.flatMap((topic, number) => (this.kind.wants(topic) ? [number] : [])))
    for (const numbers of this.#expected) {
      this.#next.push(0)
      this.#total += numbers.length
    }
  }

  /** Resolves when as many came as are to come. Throws AssertionError as soon as one is wrong. */
  async complete(): Promise<void> {
    await this.#connected
    while (this.#error === undefined && this.count < this.#total) {
      await new Promise<void>((resolve) => {
        this.#look = resolve
      })
    }
    this.check()
  }

  check(): void {
    if (this.#error !== undefined) throw this.#error
    assert.equal(this.count, this.#total, this.#name)
  }

  #take(text: string): void {
    const [publisher, number] = text.split(' ').map(Number) as [number, number]
    const expected = this.#expected[publisher]![this.#next[publisher]!]
    this.#next[publisher]! += 1
    this.count += 1
    if (number === expected) return
    this.#error ??= new assert.AssertionError({
      message: `${this.#name}: ${number} of publisher ${publisher} came where ${expected} was due`,
      actual: number,
      expected,
    })
  }
}
