// Waits until a port is listened on, for programs that do not say when they are ready.
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Started } from '../programs.ts'

const attempts = 500
const pauseMs = 20

export async function accepts(port: number, started: Started): Promise<void> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    if (started.hasEnded) await started.finished()
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      // Not yet; the number of attempts is bounded.
      await wait(pauseMs)
    } finally {
      socket.destroy()
    }
  }
  throw new Error(`nobody listens on port ${port}`)
}
