// The certificate files of a TLS listener, revocation lists among them: read, checked against each other, and watched for a renewal.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { ListenerConfig } from '../config/schema.ts'
import { errorText, OrioleError } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import { type RevocationLists, readRevocationLists } from './revocation.ts'

export interface CertificateFiles {
  /** For messages: the name of the listener. */
  readonly listener: string
  /** Absolute paths of PEM files. */
  readonly certificate: string
  readonly key: string
  readonly ca: string | undefined
  readonly crl: string | undefined
}

/** What TLS takes, and what its revocation lists say. */
export interface LoadedCertificate {
  readonly options: SecureContextOptions
  readonly revocation: RevocationLists | undefined
}

type TlsConfig = Extract<ListenerConfig, { type: 'tls' | 'wss' }>

/** Throws ORI_TLS_INVALID when what is set does not belong together. `setting`: where the listener stands in the config. */
export function certificateFiles(
  config: TlsConfig,
  resolvePath: (path: string) => string,
  setting: string,
): CertificateFiles {
  const { name, certificate, key, ca, crl, clientCertificate } = config
  // Without it Node would trust every public authority of the world to name our clients.
  if (clientCertificate !== 'none' && ca === undefined) {
    const text = `clientCertificate "${clientCertificate}" needs authorities to trust (listener "${name}")`
    throw new OrioleError('ORI_TLS_INVALID', `${text}; set ${setting}.ca`)
  }
  if (clientCertificate === 'none' && crl !== undefined) {
    const text = `crl is about client certificates, and none is asked for (listener "${name}")`
    throw new OrioleError('ORI_TLS_INVALID', `${text}; set ${setting}.clientCertificate`)
  }
  const optional = (path: string | undefined) => (path === undefined ? undefined : resolvePath(path))
  return {
    listener: name,
    certificate: resolvePath(certificate),
    key: resolvePath(key),
    ca: optional(ca),
    crl: optional(crl),
  }
}

/** A renewal writes two files; both should be there before we look. */
const settleMs = 300
/** For what a watcher misses: network file systems, folders replaced as a whole. */
const lookEveryMs = 10_000

/**
 * Reads and checks the files. Throws ORI_TLS_INVALID naming the file: unreadable, not PEM, a key that does not belong
 * to the certificate.
 */
export async function loadCertificate(files: CertificateFiles): Promise<LoadedCertificate> {
  // One after the other: of several that are missing the first one is told, each time.
  const cert = await read(files, 'certificate', files.certificate)
  const key = await read(files, 'key', files.key)
  const ca = files.ca === undefined ? undefined : await read(files, 'ca', files.ca)
  const crl = files.crl === undefined ? undefined : await read(files, 'crl', files.crl)
  const parsed = parse(files, 'certificate', files.certificate, () => new X509Certificate(cert))
  const privateKey = parse(files, 'key', files.key, (): KeyObject => createPrivateKey(key))
  if (files.ca !== undefined && ca !== undefined) parse(files, 'ca', files.ca, () => new X509Certificate(ca))
  if (!parsed.checkPrivateKey(privateKey)) {
    const text = `key "${files.key}" does not belong to certificate "${files.certificate}" (listener "${files.listener}")`
    throw new OrioleError('ORI_TLS_INVALID', `${text}; give the pair that was made together`)
  }
  const options: SecureContextOptions = ca === undefined ? { cert, key } : { cert, key, ca }
  // The certificate may be right and the chain behind it not.
  parse(files, 'certificate', files.certificate, () => createSecureContext(options))
  if (files.crl === undefined || crl === undefined) return { options, revocation: undefined }
  const revocation = parse(files, 'crl', files.crl, () => readRevocationLists(crl.toString('latin1')))
  const withLists = { ...options, crl: [...revocation.blocks] }
  parse(files, 'crl', files.crl, () => createSecureContext(withLists))
  return { options: withLists, revocation }
}

/** Days until the certificate ends; negative: it has ended. */
export function daysLeft({ options }: LoadedCertificate): number {
  const certificate = new X509Certificate(options.cert as Buffer)
  return (Date.parse(certificate.validTo) - Date.now()) / 86_400_000
}

/**
 * Looks again whenever a folder of the files changes, and every ten seconds. `onChange` gets checked files only;
 * `onBroken` gets the error once for each change, and the old certificate stays. Returns the release.
 */
export function watchCertificate(
  files: CertificateFiles,
  log: PluginLog,
  onChange: (loaded: LoadedCertificate) => void,
  onBroken: (error: unknown) => void,
): () => void {
  let stopped = false
  let seen: string | undefined
  let settle: NodeJS.Timeout | undefined
  let looking = Promise.resolve()
  const watchers = folders(files).flatMap((folder) => watchFolder(folder, log, lookSoon))
  const interval = setInterval(look, lookEveryMs).unref()
  looking = looking.then(async () => {
    seen = await fingerprint(files)
  })

  return () => {
    stopped = true
    clearTimeout(settle)
    clearInterval(interval)
    for (const watcher of watchers) watcher.close()
  }

  function lookSoon(): void {
    clearTimeout(settle)
    settle = setTimeout(look, settleMs).unref()
  }

  /** One look at a time. */
  function look(): void {
    looking = looking.then(lookNow).catch(onBroken)
  }

  async function lookNow(): Promise<void> {
    const now = await fingerprint(files)
    if (stopped || now === seen) return
    seen = now
    const loaded = await loadCertificate(files)
    if (!stopped) onChange(loaded)
  }
}

/** Changes whenever one of the files is written or replaced; a missing file is a state like another. */
async function fingerprint(files: CertificateFiles): Promise<string> {
  const parts = await Promise.all(paths(files).map(describe))
  return parts.join()

  async function describe(path: string): Promise<string> {
    try {
      const { ino, size, mtimeNs } = await stat(path, { bigint: true })
      return `${ino}:${size}:${mtimeNs}`
    } catch (error) {
      return errorText(error)
    }
  }
}

/** The folder and not the file: a renewal by rename leaves a watched file behind. */
function watchFolder(folder: string, log: PluginLog, onEvent: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent)
    watcher.on('error', (error) => {
      log.warn({ folder, error: errorText(error) }, 'certificate folder is no longer watched, only looked at')
      watcher.close()
    })
    return [watcher]
  } catch (error) {
    log.warn({ folder, error: errorText(error) }, 'certificate folder cannot be watched, only looked at')
    return []
  }
}

function paths(files: CertificateFiles): string[] {
  return [files.certificate, files.key, files.ca, files.crl].filter((path) => path !== undefined)
}

function folders(files: CertificateFiles): string[] {
  return [...new Set(paths(files).map((path) => dirname(path)))]
}

async function read(files: CertificateFiles, setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const text = `cannot read ${setting} "${path}" (listener "${files.listener}"): ${errorText(cause)}`
    throw new OrioleError('ORI_TLS_INVALID', `${text}; set ${setting} to a readable PEM file`, { cause })
  }
}

function parse<T>(files: CertificateFiles, setting: string, path: string, parser: () => T): T {
  try {
    return parser()
  } catch (cause) {
    const text = `${setting} "${path}" is not a valid PEM file (listener "${files.listener}"): ${errorText(cause)}`
    const wayOut = waysOut[setting] ?? 'give certificates in PEM'
    throw new OrioleError('ORI_TLS_INVALID', `${text}; ${wayOut}`, { cause })
  }
}

const waysOut: Readonly<Record<string, string>> = {
  key: 'give an unencrypted private key',
  crl: 'give revocation lists in PEM',
}
