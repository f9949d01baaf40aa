// The socket file of a Unix listener: a stale one is removed, a living one is not, and only its owner may connect.
import { chmodSync } from 'node:fs'
import { lstat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { errorText, OrioleError } from '../errors.ts'

/** `sun_path` of Linux is 108 bytes, of macOS 104, the closing zero included. */
const pathMaxBytes = 103

/**
 * Listens on `path` with mode 0600. Throws ORI_PORT_TAKEN when somebody listens there, ORI_LISTEN_FAILED when the path
 * is something else than a socket, too long, or not ours to write. Node removes the file when the server closes.
 */
export async function listenOnPath(server: Server, path: string, who: string, setting: string): Promise<void> {
  if (Buffer.byteLength(path) > pathMaxBytes) {
    throw failed(`the path "${path}" is longer than ${pathMaxBytes} bytes`)
  }
  await removeStale()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    server.listen({ path, exclusive: true })
    // bind() happened within the call above: the file has its mode before anything else runs in this process.
    if (server.listening) chmodSync(path, 0o600)
  }).catch((cause: unknown) => {
    throw failed(`cannot make the socket file "${path}": ${errorText(cause)}`, cause)
  })

  async function removeStale(): Promise<void> {
    const found = await lstat(path).catch(() => undefined)
    if (found === undefined) return
    if (!found.isSocket()) throw failed(`"${path}" is there and is no socket`)
    if (await isAnswered(path)) {
      throw new OrioleError('ORI_PORT_TAKEN', `socket "${path}" is taken (${who}); set ${setting}.path`)
    }
    await unlink(path).catch((cause: unknown) => {
      throw failed(`cannot remove the stale socket "${path}": ${errorText(cause)}`, cause)
    })
  }

  function failed(text: string, cause?: unknown): OrioleError {
    return new OrioleError('ORI_LISTEN_FAILED', `${text} (${who}); set ${setting}.path`, { cause })
  }
}

/** Only a refused connection means that nobody is there. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}
