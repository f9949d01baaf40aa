// An MQTT 3.1.1 client of which one process can hold ten thousand: QoS 0 and 1, no timers, little memory.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface LightOptions {
  readonly port: number
  readonly clientId: string
  /** True (the default): the session ends with the connection. */
  readonly clean?: boolean
  readonly username?: string
  readonly password?: string
  readonly keepAliveS?: number
}

/** `payload` is a view that is gone after the call. */
export type OnMessage = (topic: Buffer, payload: Buffer, qos: number, dup: boolean) => void

const none = Buffer.alloc(0)

export class LightClient {
  readonly clientId: string
  onMessage: OnMessage = () => {}
  /** PUBACK or SUBACK, also of what was written past this client. */
  onAcknowledged: () => void = () => {}
  /** Called once, whichever side ended it. */
  onClosed: () => void = () => {}
  sessionPresent = false
  readonly #options: LightOptions
  #socket: Socket | undefined
  /** The beginning of a packet. */
  #rest: Buffer = none
  #lastId = 0
  readonly #answers = new Map<number, () => void>()
  #accepted: (() => void) | undefined
  #failed: ((error: Error) => void) | undefined

  constructor(options: LightOptions) {
    this.#options = options
    this.clientId = options.clientId
  }

  get socket(): Socket {
    if (this.#socket === undefined) throw new Error(`${this.clientId} was never connected`)
    return this.#socket
  }

  get isConnected(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed
  }

  /** QoS 1 publishes without their PUBACK. */
  get unacknowledged(): number {
    return this.#answers.size
  }

  /** Resolves with CONNACK; rejects when it refuses, or when there is no connection. */
  connect(): Promise<void> {
    const { port, clientId, clean = true, username, password, keepAliveS = 0 } = this.#options
    return new Promise((resolve, reject) => {
      this.#accepted = resolve
      this.#failed = reject
      this.#rest = none
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      this.#socket = socket
      socket.on('error', (error) => this.#fail(error))
      socket.on('close', () => {
        this.#fail(new Error(`${clientId}: the connection was closed`))
        if (socket === this.#socket) this.onClosed()
      })
      socket.on('data', (chunk) => this.#received(chunk))
      const flags = (clean ? 2 : 0) | (username === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40)
      const texts = [clientId, username, password].filter((text) => text !== undefined)
      const keepAlive = [keepAliveS >> 8, keepAliveS & 0xff]
      this.#send(0x10, [text('MQTT'), Buffer.from([4, flags, ...keepAlive]), ...texts.map(text)])
    })
  }

  /** Resolves when it is granted; rejects when it is refused. */
  async subscribe(filter: string, qos: 0 | 1): Promise<void> {
    const id = this.#nextId()
    await new Promise<void>((resolve) => {
      this.#answers.set(id, resolve)
      this.#send(0x82, [number(id), text(filter), Buffer.from([qos])])
    })
  }

  publish(topic: string, payload: Buffer): void {
    this.#send(0x30, [text(topic), payload])
  }

  /** Resolves with PUBACK; never, when the connection ends before. */
  publishAcknowledged(topic: string, payload: Buffer): Promise<void> {
    const id = this.#nextId()
    return new Promise((resolve) => {
      this.#answers.set(id, resolve)
      this.#send(0x32, [text(topic), number(id), payload])
    })
  }

  ping(): void {
    if (this.isConnected) this.socket.write(Buffer.from([0xc0, 0]))
  }

  /** Reads nothing any more: the kernel's buffers fill up, and then the broker's. */
  freeze(): void {
    this.socket.pause()
  }

  thaw(): void {
    this.socket.resume()
  }

  async disconnect(): Promise<void> {
    if (!this.isConnected) return
    const closed = once(this.socket, 'close')
    this.socket.end(Buffer.from([0xe0, 0]))
    await closed
  }

  destroy(): void {
    this.#socket?.destroy()
  }

  #fail(error: Error): void {
    const failed = this.#failed
    this.#failed = undefined
    this.#accepted = undefined
    failed?.(error)
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1
    while (this.#answers.has(this.#lastId))
    return this.#lastId
  }

  #send(header: number, parts: readonly Buffer[]): void {
    this.#socket?.write(packet(header, parts))
  }

  #received(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (bytes.length - at >= 2) {
      let length = 0
      let next = at + 1
      let shift = 0
      let byte = 0x80
      while (byte >= 0x80 && next < bytes.length) {
        byte = bytes[next]!
        next += 1
        length += (byte & 0x7f) << shift
        shift += 7
      }
      if (byte >= 0x80 || bytes.length - next < length) break
      this.#take(bytes[at]!, bytes.subarray(next, next + length))
      at = next + length
    }
    this.#rest = at === bytes.length ? none : Buffer.from(bytes.subarray(at))
  }

  #take(header: number, body: Buffer): void {
    switch (header >> 4) {
      case 2:
        if (body[1] !== 0) return this.#fail(new Error(`${this.clientId}: CONNACK ${body[1]}`))
        this.sessionPresent = body[0] === 1
        this.#failed = undefined
        return this.#accepted?.()
      case 3:
        return this.#takePublish(header, body)
      case 4:
      case 9:
        return this.#answered(body.readUInt16BE(0))
    }
  }

  #takePublish(header: number, body: Buffer): void {
    const qos = (header >> 1) & 3
    const end = 2 + body.readUInt16BE(0)
    const payloadAt = qos === 0 ? end : end + 2
    if (qos === 1) this.socket.write(Buffer.from([0x40, 2, body[end]!, body[end + 1]!]))
    this.onMessage(body.subarray(2, end), body.subarray(payloadAt), qos, (header & 8) !== 0)
  }

  #answered(id: number): void {
    const answer = this.#answers.get(id)
    this.#answers.delete(id)
    answer?.()
    this.onAcknowledged()
  }
}

export function packet(header: number, parts: readonly Buffer[]): Buffer {
  let length = 0
  for (const part of parts) length += part.length
  const head = [header]
  for (let left = length; ; ) {
    const byte = left % 128
    left = Math.floor(left / 128)
    head.push(left > 0 ? byte | 0x80 : byte)
    if (left === 0) break
  }
  return Buffer.concat([Buffer.from(head), ...parts])
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([number(bytes.length), bytes])
}

export function number(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}
