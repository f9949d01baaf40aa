// A subscriber that looks at nothing but the number of bytes that came: it costs its own process next to nothing.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { generate } from 'mqtt-packet'
import { password, username } from './generator.ts'
import type { Scope } from './scope.ts'

const silenceMs = 30_000

export class Watcher {
  readonly #socket: Socket
  #received = 0
  #packetId = 0
  #closed = false
  #look: () => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.length
      this.#look()
    })
    socket.on('close', () => {
      this.#closed = true
      this.#look()
    })
  }

  static async connect(scope: Scope, port: number, clientId: string): Promise<Watcher> {
    const socket = connect(port, '127.0.0.1')
    scope.after(() => socket.destroy())
    await once(socket, 'connect')
    const watcher = new Watcher(socket)
    socket.write(generate({ cmd: 'connect', clientId, clean: true, username, password: Buffer.from(password) }))
    await watcher.receivedBytes(4)
    return watcher
  }

  /** With QoS 0. */
  subscribe(topic: string): void {
    this.#packetId += 1
    this.#socket.write(generate({ cmd: 'subscribe', messageId: this.#packetId, subscriptions: [{ topic, qos: 0 }] }))
  }

  /** Resolves when at least so many came since the last time it was asked. */
  async receivedBytes(count: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${why} after ${this.#received} of ${count} bytes`))
      const silent = (): void => fail('the broker was silent')
      let timer = setTimeout(silent, silenceMs)
      this.#look = () => {
        clearTimeout(timer)
        if (this.#received >= count) resolve()
        else if (this.#closed) fail('the broker closed the connection')
        else timer = setTimeout(silent, silenceMs)
      }
      this.#look()
    })
    this.#look = () => {}
    this.#received -= count
  }
}
