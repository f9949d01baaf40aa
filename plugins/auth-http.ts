// auth-http: asks a service of yours with one POST for each login who a client is. No usable answer is "no".
import { isUtf8 } from 'node:buffer'
import { createHmac, randomBytes } from 'node:crypto'
import { z } from 'zod'
import {
  type AuthenticateAnswer,
  type Credentials,
  type Denial,
  definePlugin,
  type Identity,
} from '../broker/plugin.ts'
import { Circuit } from './auth/circuit.ts'
import { createHttpClient, type HttpAnswer, shownUrl, urlSchema } from './auth/http-client.ts'
import { identityFrom } from './auth/login-identity.ts'
import { parseStrictJson } from './auth/strict-json.ts'

/** A hundred rules fit into it. */
const answerMaxBytes = 64 * 1024
/** Logins that wait for one of `requestsMax`; above that the client is told to try later. */
const waitingMax = 1_000
/** Remembered logins, some hundred bytes each; the oldest is forgotten and asked for again. */
const rememberedMax = 10_000

const text = z.string().min(1)
const pemFile = { maxBytes: 1024 * 1024, read: (content: string) => content }

const answerSchema = z.strictObject({
  allow: z.boolean(),
  username: z.unknown().optional(),
  groups: z.unknown().optional(),
  roles: z.unknown().optional(),
  attributes: z.unknown().optional(),
  rules: z.unknown().optional(),
  lifetimeS: z.number().positive().max(315_360_000).optional(),
})

const refused: Denial = Object.freeze({ deny: 'auth-http: the service says no' })
const unanswered: Denial = Object.freeze({ deny: 'auth-http: the service gave no usable answer', busy: true })
const paused: Denial = Object.freeze({ deny: 'auth-http: the service failed too often and is left alone', busy: true })
const tooMany: Denial = Object.freeze({ deny: 'auth-http: too many logins at once', busy: true })

export default definePlugin({
  name: 'auth-http',
  config: z
    .strictObject({
      url: urlSchema.describe('of the service'),
      bearer: text.optional().describe('sent as `authorization: Bearer …`; from the environment'),
      ca: text.optional().describe('PEM file of authorities for the service, instead of those of the system'),
      certificate: text.optional().describe('PEM file: who we are'),
      key: text.optional().describe('PEM file with its private key'),
      timeoutMs: z.int().min(100).max(60_000).default(3_000).describe('of one question, waiting included'),
      requestsMax: z.int().min(1).max(1_000).default(50).describe('questions at a time'),
      cacheS: z.int().min(0).max(86_400).default(60).describe('an allowed login is remembered so long; 0: never'),
      failuresMax: z.int().min(1).default(5).describe('failures in a row after which the service is left alone'),
      pauseS: z.int().min(1).max(3_600).default(10).describe('for so long'),
    })
    .refine(({ certificate, key }) => (certificate === undefined) === (key === undefined), {
      message: '`certificate` and `key` belong together; give both',
    }),
  files: { ca: pemFile, certificate: pemFile, key: pemFile },
  secretFiles: ['key'],

  setup(broker, config, { ca, certificate, key }) {
    const { url, bearer, timeoutMs, requestsMax, cacheS } = config
    const pem = {
      ...(ca === undefined ? {} : { ca: ca.value }),
      ...(certificate === undefined || key === undefined ? {} : { cert: certificate.value, key: key.value }),
    }
    const client = createHttpClient({ url, timeoutMs, answerMaxBytes, connectionsMax: requestsMax, tls: pem })
    broker.onStop(() => client.close())
    const shown = shownUrl(url)
    const circuit = new Circuit(config.failuresMax, config.pauseS * 1_000)
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
    }
    // What is remembered is of use to nobody without this key, and it never leaves the process.
    const cacheKey = randomBytes(32)
    const remembered = new Map<string, { readonly identity: Identity; readonly until: number }>()
    const asking = new Map<string, Promise<AuthenticateAnswer | undefined>>()

    /** Never rejects. */
    async function ask(question: string, username: string | undefined): Promise<AuthenticateAnswer | undefined> {
      if (!circuit.enter()) return paused
      let answer: AuthenticateAnswer | undefined
      try {
        answer = readAnswer(await client.ask(headers, question), username)
      } catch (error) {
        const opened = circuit.failed()
        const because = error instanceof Error ? error.message : String(error)
        if (opened)
          broker.log.error(
            { url: shown, error: because, pauseS: config.pauseS },
            'service failed, left alone for a while',
          )
        else broker.log.warn({ url: shown, error: because }, 'service gave no usable answer')
        return unanswered
      }
      if (circuit.succeeded()) broker.log.info({ url: shown }, 'service answers again')
      return answer
    }

    function remember(key: string, identity: Identity): void {
      if (cacheS === 0) return
      remembered.delete(key)
      remembered.set(key, {
        identity,
        until: Math.min(Date.now() + cacheS * 1_000, identity.expiresAt ?? Number.POSITIVE_INFINITY),
      })
      if (remembered.size <= rememberedMax) return
      const [oldest] = remembered.keys()
      remembered.delete(oldest!)
    }

    async function authenticate(credentials: Credentials): Promise<AuthenticateAnswer | undefined> {
      const question = questionOf(credentials)
      const key = createHmac('sha256', cacheKey).update(question).digest('base64')
      const known = remembered.get(key)
      if (known !== undefined && known.until > Date.now()) return { identity: known.identity }
      const same = asking.get(key)
      if (same !== undefined) return same
      if (asking.size >= requestsMax + waitingMax) return tooMany
      const asked = ask(question, credentials.username)
      asking.set(key, asked)
      const answer = await asked.finally(() => asking.delete(key))
      if (answer !== undefined && 'identity' in answer) remember(key, answer.identity)
      return answer
    }

    return { authenticate }
  },
})

/** The body of the POST; the same credentials give the same text. */
function questionOf({
  clientId,
  username,
  password,
  address,
  listener,
  certificate,
  protocolVersion,
}: Credentials): string {
  const readable = password === undefined || isUtf8(password)
  return JSON.stringify({
    clientid: clientId,
    username: username ?? null,
    password: readable ? (password?.toString('utf8') ?? null) : null,
    // A password is bytes, and JSON is text.
    ...(readable ? {} : { passwordBase64: password.toString('base64') }),
    address,
    listener,
    protocolVersion,
    certificate: certificate ?? null,
  })
}

/** Undefined: the service leaves it to the next plugin. Throws when the answer is none. */
function readAnswer({ status, type, body }: HttpAnswer, username: string | undefined): AuthenticateAnswer | undefined {
  if (status === 204) return undefined
  // Also a 401: it says that the service does not know us, not that it does not know the client.
  if (status !== 200) throw new Error(`the answer has status ${status}`)
  if (type !== 'application/json') throw new Error('the answer is not application/json')
  if (!isUtf8(body)) throw new Error('the answer is not UTF-8')
  const { success, data } = answerSchema.safeParse(parseStrictJson(body.toString('utf8')))
  if (!success) throw new Error('the answer has another shape')
  const { allow, lifetimeS, ...claimed } = data
  if (!allow) return refused
  const expiresAt = lifetimeS === undefined ? undefined : Date.now() + lifetimeS * 1_000
  const identity = identityFrom({ ...claimed, username: claimed.username ?? username, expiresAt })
  if ('wrong' in identity) throw new Error(identity.wrong)
  return { identity }
}
