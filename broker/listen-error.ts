// What to tell when a port or a socket file cannot be opened: the same words for listeners and the admin server.
import { errorText, OrioleError } from './errors.ts'

export interface ListenTarget {
  /** Who wants to listen: `listener "tcp"`, `admin`. */
  readonly who: string
  /** Where it stands in the config: `listeners.0`, `admin`. */
  readonly setting: string
  readonly host: string
  readonly port: number
}

/** ORI_PORT_TAKEN or ORI_LISTEN_FAILED, with the thing and the way out; the cause is kept. */
export function listenError(error: unknown, target: ListenTarget): OrioleError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const { who, setting, host, port } = target
  if (code === 'EADDRINUSE') {
    return new OrioleError('ORI_PORT_TAKEN', `port ${port} is taken (${who}); set ${setting}.port`, { cause: error })
  }
  return new OrioleError('ORI_LISTEN_FAILED', explain(), { cause: error })

  function explain(): string {
    if (code === 'EACCES' || code === 'EPERM') {
      return `no permission to open port ${port} (${who}); set ${setting}.port above 1023, or allow this one to the process (CAP_NET_BIND_SERVICE)`
    }
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EINVAL' || code === 'EAI_AGAIN') {
      return `"${host}" is no address of this machine (${who}); set ${setting}.host`
    }
    return `cannot listen on ${host} port ${port} (${who}): ${errorText(error)}; set ${setting}.host and ${setting}.port`
  }
}
