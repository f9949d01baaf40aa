// One connection of a walk's client, on a bare socket: every packet and every acknowledgement is in the walk's hands.
import { connect, type Socket } from 'node:net'
import { generate, type Packet, parser } from 'mqtt-packet'

export class Wire {
  readonly version: 4 | 5
  readonly #socket: Socket
  closed = false
  /** We ended it, or know that the broker will. */
  leaving = false
  /** The socket is gone on both sides. */
  readonly ended: Promise<void>
  #pings: (() => void)[] = []

  constructor(port: number, version: 4 | 5, on: { packet(packet: Packet): void; closed(): void }) {
    this.version = version
    const socket = connect(port, '127.0.0.1')
    socket.setNoDelay(true)
    this.#socket = socket
    const parsing = parser({ protocolVersion: version })
    parsing.on('packet', (packet: Packet) => {
      if (packet.cmd === 'pingresp') this.#pings.shift()?.()
      else on.packet(packet)
    })
    parsing.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      if (!this.closed) parsing.parse(chunk)
    })
    socket.on('error', () => {})
    this.ended = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('close', () => {
      this.#end()
      on.closed()
    })
  }

  /** All in one write. */
  send(packets: readonly Packet[]): void {
    if (packets.length === 0 || this.closed) return
    this.#socket.write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: this.version }))))
  }

  /** Resolves when the broker has answered everything up to here, or the connection has ended. */
  ping(): Promise<void> {
    if (this.closed) return Promise.resolve()
    return new Promise((resolve) => {
      this.#pings.push(resolve)
      this.send([{ cmd: 'pingreq' }])
    })
  }

  /** Ends it without a word; what was written may still arrive. */
  cut(): void {
    this.leaving = true
    this.#end()
    this.#socket.destroy()
  }

  #end(): void {
    this.closed = true
    for (const resolve of this.#pings.splice(0)) resolve()
  }
}
