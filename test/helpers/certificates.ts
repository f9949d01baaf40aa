// Real certificates for tests, made with the openssl command: an authority, a server, a client, and a stranger.
import { execFile } from 'node:child_process'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Absolute paths of PEM files. */
export interface TestCertificates {
  readonly ca: string
  /** For localhost and 127.0.0.1. */
  readonly server: { readonly certificate: string; readonly key: string }
  /** Common name `device-1`, alternative name `URI:urn:oriole:device-1`; signed by `ca`. */
  readonly client: { readonly certificate: string; readonly key: string }
  /** Signed by an authority that nobody trusts. */
  readonly stranger: { readonly certificate: string; readonly key: string }
}

/** Makes all of them in `folder`, with fast elliptic keys. */
export async function makeCertificates(folder: string): Promise<TestCertificates> {
  const ca = await makeAuthority(folder, 'ca', 'Oriole test authority')
  const strangeCa = await makeAuthority(folder, 'strange-ca', 'Nobody')
  const [server, client, stranger] = await Promise.all([
    makeSigned(folder, 'server', 'localhost', 'DNS:localhost,IP:127.0.0.1', ca),
    makeSigned(folder, 'client', 'device-1', 'URI:urn:oriole:device-1', ca),
    makeSigned(folder, 'stranger', 'device-1', 'URI:urn:oriole:device-1', strangeCa),
  ])
  return { ca: ca.certificate, server, client, stranger }
}

interface Pair {
  readonly certificate: string
  readonly key: string
}

/** One more pair of the authority that `makeCertificates` made in `folder`; its serial number comes from its name. */
export function issueCertificate(folder: string, name: string, subject: string, altNames: string): Promise<Pair> {
  return makeSigned(folder, name, subject, altNames, authorityIn(folder))
}

/** The authority's list of revoked certificates, by their names; it ends after `days`, which may be a part of one. */
export async function writeRevocationList(
  folder: string,
  path: string,
  names: readonly string[],
  days = 30,
): Promise<void> {
  const config = join(folder, 'crl.cnf')
  const index = join(folder, 'index.txt')
  const lines = names.map(
    (name) => `R\t400101000000Z\t260101000000Z\t${serialOf(name).toUpperCase()}\tunknown\t/CN=x\n`,
  )
  await writeFile(index, lines.join(''))
  await writeFile(config, `[ca]\ndefault_ca=own\n[own]\ndatabase=${index}\ndefault_md=sha256\n`)
  const { certificate, key } = authorityIn(folder)
  await run('openssl', [
    ...['ca', '-gencrl', '-config', config, '-cert', certificate, '-keyfile', key],
    ...['-crlsec', String(Math.round(days * 86_400)), '-out', `${path}.new`],
  ])
  await rename(`${path}.new`, path)
}

function authorityIn(folder: string): Pair {
  return { certificate: join(folder, 'ca.pem'), key: join(folder, 'ca.key') }
}

function serialOf(name: string): string {
  return Buffer.from(name).toString('hex')
}

async function makeAuthority(folder: string, name: string, commonName: string): Promise<Pair> {
  const key = join(folder, `${name}.key`)
  const certificate = join(folder, `${name}.pem`)
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'],
    ...['-keyout', key, '-out', certificate, '-subj', `/CN=${commonName}`],
  ])
  return { certificate, key }
}

/** A pair signed by `authority`, for a common name or a whole `/subject`; `altNames` as openssl writes them, for example `DNS:localhost,IP:127.0.0.1`. */
async function makeSigned(
  folder: string,
  name: string,
  commonName: string,
  altNames: string,
  authority: Pair,
): Promise<Pair> {
  const key = join(folder, `${name}.key`)
  const request = join(folder, `${name}.csr`)
  const extensions = join(folder, `${name}.ext`)
  const certificate = join(folder, `${name}.pem`)
  await writeFile(extensions, `${altNames === '' ? '' : `subjectAltName=${altNames}\n`}basicConstraints=CA:FALSE\n`)
  await run('openssl', [
    ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-keyout', key, '-out', request, '-utf8'],
    ...['-subj', commonName.startsWith('/') ? commonName : `/CN=${commonName}`],
  ])
  await run('openssl', [
    ...['x509', '-req', '-in', request, '-CA', authority.certificate, '-CAkey', authority.key],
    ...['-set_serial', `0x${serialOf(name)}`],
    ...['-out', certificate, '-days', '30', '-extfile', extensions],
  ])
  return { certificate, key }
}
