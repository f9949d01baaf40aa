// The table of hostile packets: its types, its loader, and a runner that plays one row against a broker.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'

export type Version = 3 | 4 | 5

/**
 * What must happen after the bytes.
 * - `close`: the connection ends; a refusing answer before it is allowed.
 * - `close-silent`: it ends without one byte of answer.
 * - `disconnect`: DISCONNECT with this reason code, nothing else, and the end.
 * - `connack`: a refusing CONNACK with this code, and the end.
 * - `suback`: SUBACK with these codes, and the connection lives.
 * - `answer`: exactly these bytes (hexadecimal; "" for none), and the connection lives.
 */
export type Expectation =
  | 'close'
  | 'close-silent'
  | { readonly disconnect: number }
  | { readonly connack: number }
  | { readonly suback: readonly number[] }
  | { readonly answer: string }

export interface HostileRow {
  readonly name: string
  readonly versions: readonly Version[]
  /** `connected`: the bytes follow a successful CONNECT of the version. */
  readonly state: 'before-connect' | 'connected'
  /** Hexadecimal. */
  readonly bytes: string
  /** For each of `versions`. */
  readonly expect: { readonly [version in Version]?: Expectation }
  /**
   * Which part of the broker must notice: `codec` from the bytes alone; `connection` needs the state of the session
   * or the default limits.
   */
  readonly by: 'codec' | 'connection'
}

/** The rows of test/hostile/packets.json, which `node dist/test/hostile/make.js` writes. */
export function loadHostileRows(file: URL | string): HostileRow[] {
  return JSON.parse(readFileSync(file, 'utf8')) as HostileRow[]
}

const pingreq = 'c000'
const pingresp = 'd000'
const deadlineMs = 5_000

/**
 * Plays the row over a fresh connection to a broker with default limits that lets everyone in. Throws AssertionError
 * when the broker answers otherwise, or not within 5 s. `clientId` must be new for each call.
 */
export async function runHostileRow(
  row: HostileRow,
  version: Version,
  connect: () => Promise<Duplex>,
  clientId: string,
): Promise<void> {
  const expected = row.expect[version]
  assert.ok(expected !== undefined, `${row.name}: no expectation for version ${version}`)
  const conversation = new Conversation(await connect(), `${row.name} (version ${version})`)
  try {
    if (row.state === 'connected') {
      conversation.write(connectBytes(version, clientId))
      assert.equal((await conversation.takeFrame())[0], 0x20)
    }
    const lives = typeof expected === 'object' && ('answer' in expected || 'suback' in expected)
    // A PINGREQ after it proves that the connection lives, and that nothing more came.
    conversation.write(Buffer.from(lives ? row.bytes + pingreq : row.bytes, 'hex'))
    await check(conversation, expected, version)
  } finally {
    conversation.destroy()
  }
}

async function check(conversation: Conversation, expected: Expectation, version: Version): Promise<void> {
  if (expected === 'close-silent') {
    assert.equal(await conversation.untilEnd(), '')
    return
  }
  if (expected === 'close') {
    assert.match(await conversation.untilEnd(), /^(|2002000[1-5]|20..00[89a].*|e0.*)$/)
    return
  }
  if ('answer' in expected) {
    const bytes = expected.answer.length / 2 + 2
    assert.equal((await conversation.take(bytes)).toString('hex'), expected.answer + pingresp)
    return
  }
  const frame = await conversation.takeFrame()
  if ('suback' in expected) {
    assert.equal(frame[0], 0x90)
    const codesAt = version === 5 ? 5 : 4
    // Properties are empty, and the table has no SUBACK with a Remaining Length of more than one byte.
    assert.deepEqual([...frame.subarray(codesAt)], expected.suback)
    assert.equal((await conversation.take(2)).toString('hex'), pingresp)
    return
  }
  const [type, codeAt, code] = 'disconnect' in expected ? [0xe0, 2, expected.disconnect] : [0x20, 3, expected.connack]
  assert.equal(frame[0], type)
  assert.equal(frame[codeAt], code)
  assert.equal(await conversation.untilEnd(), '')
}

/** CONNECT with Clean Session and a keepalive of 60 s. */
export function connectBytes(version: Version, clientId: string): Buffer {
  const name = version === 3 ? 'MQIsdp' : 'MQTT'
  const id = Buffer.from(clientId)
  const body = Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([version, 2, 0, 60, ...(version === 5 ? [0] : []), 0, id.length]),
    id,
  ])
  return Buffer.concat([Buffer.from([0x10, body.length]), body])
}

/** One raw connection: what came and was not taken yet, and whether the peer has ended. */
class Conversation {
  readonly #stream: Duplex
  readonly #name: string
  #received = Buffer.alloc(0)
  #ended = false
  #wake: (() => void) | undefined

  constructor(stream: Duplex, name: string) {
    this.#stream = stream
    this.#name = name
    stream.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake?.()
    })
    const ended = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    // A reset is an end too: the broker need not read all that a hostile client sends.
    stream.on('end', ended).on('close', ended).on('error', ended)
  }

  write(bytes: Buffer): void {
    this.#stream.write(bytes)
  }

  async take(bytes: number): Promise<Buffer> {
    await this.#until(() => this.#received.length >= bytes || this.#ended)
    const taken = this.#received.subarray(0, bytes)
    assert.equal(taken.length, bytes, `${this.#name}: the connection ended after ${taken.toString('hex')}`)
    this.#received = this.#received.subarray(bytes)
    return taken
  }

  /** A packet with a Remaining Length of one byte or two. */
  async takeFrame(): Promise<Buffer> {
    await this.#until(() => this.#received.length >= 3 || this.#ended)
    const [, first = 0, second = 0] = this.#received
    return this.take(first < 0x80 ? 2 + first : 3 + (first & 0x7f) + second * 128)
  }

  /** What came until the end, as hexadecimal. */
  async untilEnd(): Promise<string> {
    await this.#until(() => this.#ended)
    return this.#received.toString('hex')
  }

  destroy(): void {
    this.#stream.destroy()
  }

  async #until(condition: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const message = `${this.#name}: no end and no answer within ${deadlineMs} ms; so far ${this.#received.toString('hex')}`
      timer = setTimeout(() => reject(new assert.AssertionError({ message })), deadlineMs)
    })
    try {
      while (!condition()) await Promise.race([new Promise<void>((resolve) => (this.#wake = resolve)), late])
    } finally {
      clearTimeout(timer)
    }
  }
}
