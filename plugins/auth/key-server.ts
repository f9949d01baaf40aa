// The keys that an issuer publishes at a URL (JWKS): fetched, refreshed, and kept over a restart for when it is away.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PluginLog } from '../../broker/plugin.ts'
import { replaceFile } from '../../broker/replace-file.ts'
import { createHttpClient, type HttpClient, shownUrl } from './http-client.ts'
import { isObject, parseStrictJson } from './strict-json.ts'
import { readKeys, type VerificationKey } from './verification-keys.ts'

/** A set of a hundred RSA keys with their certificates is smaller. */
const answerMaxBytes = 256 * 1024
const retryFirstMs = 1_000
const retryMaxMs = 60_000

export interface KeyServerOptions {
  readonly url: string
  readonly ca: string | undefined
  readonly timeoutMs: number
  readonly refreshMs: number
  /** Between two fetches that an unknown `kid` asks for: who invents them cannot have us flood the issuer. */
  readonly cooldownMs: number
  /** Keys that could not be refreshed for so long are used no more. */
  readonly keepMs: number
  /** Here the last good keys are kept. */
  readonly folder: string
  readonly log: PluginLog
}

interface Fetched {
  readonly at: number
  readonly keys: readonly VerificationKey[]
}

export class KeyServer {
  readonly #options: KeyServerOptions
  readonly #client: HttpClient
  readonly #path: string
  #fetched: Fetched | undefined = undefined
  #fetching: Promise<void> | undefined = undefined
  #triedAt = Number.NEGATIVE_INFINITY
  #failures = 0
  #timer: NodeJS.Timeout | undefined = undefined
  #closed = false

  constructor(options: KeyServerOptions) {
    const { url, timeoutMs, ca } = options
    this.#options = options
    this.#client = createHttpClient({
      url,
      timeoutMs,
      answerMaxBytes,
      connectionsMax: 1,
      tls: ca === undefined ? {} : { ca },
    })
    this.#path = join(options.folder, 'jwks.json')
  }

  /** Resolves when there are keys, or when the issuer could not be asked: then it is asked again and again. */
  async start(): Promise<void> {
    this.#fetched = await this.#stored()
    const first = this.#fetch()
    if (this.#fetched === undefined) await first
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#client.close()
  }

  /** Undefined: there are none that may be trusted now. */
  get keys(): readonly VerificationKey[] | undefined {
    if (this.#fetched === undefined || Date.now() - this.#fetched.at > this.#options.keepMs) return undefined
    return this.#fetched.keys
  }

  /** The issuer could not be asked the last time: there may be keys that are not known here. */
  get isStale(): boolean {
    return this.#failures > 0
  }

  /** Asks the issuer for newer keys; at once nothing when it was asked just now. */
  async renew(): Promise<void> {
    if (this.#fetching === undefined && performance.now() - this.#triedAt < this.#options.cooldownMs) return
    await this.#fetch()
  }

  /** One at a time. Never rejects. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetchNow(): Promise<void> {
    const { log, refreshMs } = this.#options
    const url = shownUrl(this.#options.url)
    this.#triedAt = performance.now()
    clearTimeout(this.#timer)
    let nextMs = refreshMs
    try {
      const text = await this.#ask()
      const keys = usable(text)
      this.#fetched = { at: Date.now(), keys }
      this.#failures = 0
      await this.#store(text)
      log.debug({ url, keys: keys.length }, 'keys of tokens fetched')
    } catch (error) {
      if (this.#closed) return
      nextMs = Math.min(retryFirstMs * 2 ** this.#failures, retryMaxMs, refreshMs)
      this.#failures += 1
      const usedUntil = this.#fetched && new Date(this.#fetched.at + this.#options.keepMs).toISOString()
      log.warn({ url, error: errorText(error), usedUntil }, 'keys of tokens not fetched, the last good ones stay')
    }
    if (!this.#closed) this.#timer = setTimeout(() => void this.#fetch(), nextMs).unref()
  }

  async #ask(): Promise<string> {
    const { status, body } = await this.#client.ask({ accept: 'application/jwk-set+json, application/json' })
    if (status !== 200) throw new Error(`the answer has status ${status}`)
    return body.toString('utf8')
  }

  /** A restart without the issuer is no emergency, and neither is one without this file. */
  async #store(text: string): Promise<void> {
    const { url, log } = this.#options
    try {
      await replaceFile(this.#path, JSON.stringify({ url, fetchedAt: Date.now(), jwks: text }))
    } catch (error) {
      log.warn({ path: this.#path, error: errorText(error) }, 'keys of tokens not kept for a restart')
    }
  }

  async #stored(): Promise<Fetched | undefined> {
    const { url, log } = this.#options
    try {
      const stored = parseStrictJson(await readFile(this.#path, 'utf8'))
      if (!isObject(stored) || typeof stored.jwks !== 'string' || typeof stored.fetchedAt !== 'number') {
        throw new Error('the file is damaged')
      }
      // Those of another issuer are of no use; neither are those of a future that a wrong clock saw.
      if (stored.url !== url || stored.fetchedAt > Date.now()) return undefined
      return { at: stored.fetchedAt, keys: usable(stored.jwks) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      log.warn({ path: this.#path, error: errorText(error) }, 'kept keys of tokens are not usable')
      return undefined
    }
  }
}

/** An issuer may publish keys of other kinds and for other uses; those are left out. */
function usable(text: string): readonly VerificationKey[] {
  const { keys, mistakes } = readKeys(text, false)
  if (keys.length === 0) throw new Error(`no usable key: ${mistakes[0]?.message}`)
  return keys
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
