// A port that nobody has now, and that the kernel gives to nobody: its owner may go, and come back to it.
import { createServer } from 'node:net'

/** Below the ports of outgoing connections, one of which could take it meanwhile, or even connect to itself. */
const firstPort = 20_000
const lastPort = 32_000

export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort))
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}
