// Garbage collection in another process on request: memory is compared when nothing in it is garbage.
import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { Started } from './programs.ts'

/** Node options for a process whose garbage is to be collected; the inspector opens only when it is asked for. */
export const collectable = ['--inspect-port=0']

/** SIGUSR1 opens Node's inspector, on loopback; it stays open, at a constant cost. */
export async function collectGarbage(started: Started): Promise<void> {
  started.child.kill('SIGUSR1')
  await started.printed(/Debugger listening on ws:/)
  const [, url] = /Debugger listening on (ws:\S+)/.exec(started.errors)!
  const socket = new WebSocket(url!)
  await once(socket, 'open')
  // Twice: what finalizers let go of in the first is gone after the second.
  for (const id of [1, 2]) {
    socket.send(JSON.stringify({ id, method: 'HeapProfiler.collectGarbage' }))
    await once(socket, 'message')
  }
  socket.close()
  await once(socket, 'close')
}
