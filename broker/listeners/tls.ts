// The TLS stage: handshake, client certificates, and certificates renewed while connections stay.
import type { Socket } from 'node:net'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import type { ListenerConfig } from '../config/schema.ts'
import { errorText } from '../errors.ts'
import type { PeerCertificate } from '../plugin.ts'
import type { Arrival } from './arrival.ts'
import { certificateFiles, daysLeft, type LoadedCertificate, loadCertificate, watchCertificate } from './certificate.ts'
import type { EnterStage, ListenerDeps, Stage } from './entrance.ts'
import { type CertificateKey, chainKeys } from './revocation.ts'

type TlsConfig = Extract<ListenerConfig, { type: 'tls' | 'wss' }>

const warnDays = 14
/** For the goodbye of those whose certificate was revoked; then they are cut. */
const goodbyeMs = 500

/** Throws ORI_TLS_INVALID when the files are not usable. */
export async function openTlsStage(config: TlsConfig, deps: ListenerDeps, next: EnterStage): Promise<Stage> {
  const files = certificateFiles(config, deps.resolvePath, deps.setting ?? 'listeners')
  const loaded = await loadCertificate(files)
  warnOfEnd(loaded)
  const server = createServer({
    ...contextOptions(loaded),
    requestCert: config.clientCertificate !== 'none',
    // onSecure looks itself: Node would cut a client without telling anybody why.
    rejectUnauthorized: false,
    handshakeTimeout: deps.limits.connectTimeoutMs,
  })
  /** Node gives back the TLS socket but not the one it wraps; the four numbers of TCP tell which it is. */
  const arrivals = new Map<string, Arrival>()
  /** Those that came in with a certificate that a list may name one day; empty without lists. */
  const proven = new Map<TLSSocket, { readonly arrival: Arrival; readonly keys: readonly CertificateKey[] }>()
  server.on('secureConnection', onSecure)
  server.on('tlsClientError', (error, socket) => {
    const refusedBy = error instanceof Error && 'reason' in error ? String(error.reason) : errorText(error)
    arrivals.get(connectionKey(socket))?.refuse('tls', refusedBy)
    socket.destroy()
  })
  const stopWatching = watchCertificate(files, deps.log, onRenewed, onBroken)
  return { enter, close: stopWatching }

  function enter(arrival: Arrival): void {
    const key = connectionKey(arrival.socket)
    arrivals.set(key, arrival)
    arrival.socket.once('close', () => {
      if (arrivals.get(key) === arrival) arrivals.delete(key)
    })
    // Documented: a connection may be put into a server that does not listen itself.
    server.emit('connection', arrival.socket)
  }

  function onSecure(socket: TLSSocket): void {
    const key = connectionKey(socket)
    const arrival = arrivals.get(key)
    // The client is gone already, and with it its address.
    if (arrival === undefined) {
      socket.destroy()
      return
    }
    arrivals.delete(key)
    socket.on('error', (error) => {
      deps.log.debug({ listener: config.name, address: arrival.address, error: error.message }, 'tls connection broke')
    })
    if (config.clientCertificate !== 'none') {
      const certificate = peerCertificate(socket)
      const failure = certificateFailure(socket, certificate)
      if (failure !== undefined) {
        arrival.refuse('tls', failure)
        return
      }
      arrival.certificate = certificate
      if (files.crl !== undefined && certificate !== undefined) {
        const keys = readableKeys(socket)
        if (keys === undefined) {
          arrival.refuse('tls', 'client certificate: it cannot be looked for in revocation lists')
          return
        }
        proven.set(socket, { arrival, keys })
        socket.once('close', () => proven.delete(socket))
      }
    }
    next(arrival, socket)
  }

  /**
   * `authorized` alone is not enough: it is true for a resumed session without a certificate. And "optional" lets in
   * who has none, not who has one that proves nothing.
   */
  function certificateFailure(socket: TLSSocket, certificate: PeerCertificate | undefined): string | undefined {
    if (certificate === undefined) return config.clientCertificate === 'required' ? 'no client certificate' : undefined
    return socket.authorized ? undefined : `client certificate: ${String(socket.authorizationError)}`
  }

  function onRenewed(renewed: LoadedCertificate): void {
    server.setSecureContext(contextOptions(renewed))
    deps.counts.certificateReloads++
    deps.log.info({ listener: config.name, certificate: files.certificate }, 'certificate reloaded')
    warnOfEnd(renewed)
    sendRevokedAway(renewed)
  }

  function sendRevokedAway({ revocation }: LoadedCertificate): void {
    const gone = [...proven].filter(([, { keys }]) => keys.some((key) => revocation?.revoked.has(key)))
    if (gone.length === 0) return
    deps.log.info({ listener: config.name, connections: gone.length }, 'certificates of connected clients were revoked')
    deps.onRevoked?.(new Set(gone.map(([, { arrival }]) => arrival)))
    // Whoever is not yet a client, or does not go.
    const cut = (): void => {
      for (const [socket] of gone) socket.destroy()
    }
    setTimeout(cut, goodbyeMs).unref()
  }

  function onBroken(error: unknown): void {
    deps.counts.certificateReloadFailures++
    deps.log.error({ listener: config.name, error: errorText(error) }, 'certificate not reloaded, the old one stays')
  }

  function contextOptions({ options }: LoadedCertificate): TlsOptions {
    return { ...options, minVersion: config.minVersion, sessionIdContext: 'oriole' }
  }

  function warnOfEnd(current: LoadedCertificate): void {
    const days = Math.floor(daysLeft(current))
    if (days < warnDays) {
      deps.log.warn(
        { listener: config.name, certificate: files.certificate, days },
        'certificate ends soon or has ended',
      )
    }
    const endsAt = current.revocation?.endsAt ?? Number.POSITIVE_INFINITY
    if (endsAt > Date.now()) return
    deps.log.error(
      { listener: config.name, crl: files.crl },
      'revocation list has ended, no client certificate is accepted',
    )
  }
}

/** Undefined: OpenSSL read what we cannot; nobody comes in whom no list could send away. */
function readableKeys(socket: TLSSocket): readonly CertificateKey[] | undefined {
  try {
    return chainKeys(socket.getPeerCertificate(true))
  } catch {
    return undefined
  }
}

function peerCertificate(socket: TLSSocket): PeerCertificate | undefined {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  const commonName: unknown = certificate.toLegacyObject().subject?.CN
  return {
    // Several common names are nobody's name.
    commonName: typeof commonName === 'string' ? commonName : '',
    subjectAltNames: splitAltNames(certificate.subjectAltName),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    endsAt: Date.parse(certificate.validTo),
  }
}

/** `DNS:a.example, IP Address:10.0.0.1`; a value that holds a comma stands in double quotes (CVE-2021-44532). */
function splitAltNames(text: string | undefined): string[] {
  return text?.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g)?.map((name) => name.trim()) ?? []
}

function connectionKey(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`
}
