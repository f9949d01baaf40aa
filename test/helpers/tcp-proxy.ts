// A TCP proxy on loopback that a test cuts and heals: how a network between two processes goes wrong.
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Cleanup } from './broker.ts'

/** `refused`: connections are reset, and new ones are. `silent`: they stay, and no byte passes, as behind a dead switch. */
export type CutKind = 'refused' | 'silent'

export class TcpProxy {
  readonly #targetPort: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #cut: CutKind | undefined

  constructor(t: Cleanup, targetPort: number) {
    this.#targetPort = targetPort
    this.#server = createServer((near) => this.#accept(near))
    t.after(() => this.#close())
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen')
    return address.port
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
  }

  cut(kind: CutKind): void {
    this.#cut = kind
    for (const socket of this.#sockets) {
      if (kind === 'refused') socket.resetAndDestroy()
      else socket.pause()
    }
  }

  /** New connections pass. What a silent cut held is lost with its connections, as when a switch comes back without memory. */
  heal(): void {
    this.#cut = undefined
    this.#reset()
  }

  #accept(near: Socket): void {
    this.#keep(near)
    if (this.#cut === 'refused') {
      near.resetAndDestroy()
      return
    }
    if (this.#cut === 'silent') {
      near.pause()
      return
    }
    const far = connect({ port: this.#targetPort, host: '127.0.0.1', noDelay: true })
    this.#keep(far)
    near.setNoDelay(true)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    // Not `pipe`: a pipe would read again from a socket that a cut has paused.
    relay(near, far, () => this.#cut === undefined)
    relay(far, near, () => this.#cut === undefined)
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  #close(): Promise<void> {
    this.#reset()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }
}

function relay(from: Socket, to: Socket, passes: () => boolean): void {
  from.on('data', (chunk) => {
    if (!to.write(chunk)) from.pause()
  })
  to.on('drain', () => {
    if (passes()) from.resume()
  })
}
