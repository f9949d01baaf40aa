// auth-jwt: JSON Web Tokens of an issuer that the config names, as the password or as an enhanced authentication.
import { z } from 'zod'
import {
  type AuthenticateAnswer,
  type Credentials,
  type Denial,
  definePlugin,
  type Identity,
} from '../broker/plugin.ts'
import { urlSchema } from './auth/http-client.ts'
import { KeyServer } from './auth/key-server.ts'
import { identityFrom } from './auth/login-identity.ts'
import { isObject } from './auth/strict-json.ts'
import { fittingKeys, looksLikeToken, readHeader, type TokenRules, verifyToken } from './auth/token.ts'
import { algorithms, readKeys, secretKey, secretMistake, type VerificationKey } from './auth/verification-keys.ts'

const oneOrMore = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1)])
const text = z.string().min(1)
/** A claim, or the way to one inside others: `[realm_access, roles]`. */
const claim = oneOrMore(text)
type ClaimPath = z.infer<typeof claim>

const secretSchema = z.string().superRefine((secret, context) => {
  const mistake = secretMistake(Buffer.from(secret))
  if (mistake !== undefined) context.addIssue({ code: 'custom', message: `the secret ${mistake}` })
})

const configSchema = z
  .strictObject({
    keys: text.optional().describe('file with public keys in PEM, or a JWKS; reloaded when it changes'),
    secret: secretSchema.optional().describe('shared with the issuer, for HS256 and its like; from the environment'),
    jwks: urlSchema.optional().describe('URL at which the issuer publishes its keys'),
    ca: text.optional().describe('PEM file of authorities for that URL, instead of those of the system'),
    refreshS: z.int().min(10).default(600).describe('keys from the URL are fetched again so often'),
    cooldownS: z.int().min(1).default(30).describe('least time between fetches for a key that is not known'),
    keepDays: z.number().positive().default(7).describe('the last good keys are used so long without the issuer'),
    timeoutMs: z.int().min(100).max(60_000).default(3_000).describe('of one fetch'),
    algorithms: z.array(z.enum(algorithms)).min(1).optional().describe('only these; else all that fit the keys'),
    issuer: z.union([oneOrMore(text), z.literal(false)]).describe('what "iss" must be; false: anything'),
    audience: z.union([oneOrMore(text), z.literal(false)]).describe('what "aud" must be or hold; false: anything'),
    clockSkewS: z.int().min(0).max(600).default(10).describe('by how much the clocks may differ'),
    requireExpiry: z.boolean().default(true).describe('refuse tokens without "exp"'),
    user: claim.default('sub').describe('claim with the username'),
    username: z.enum(['match', 'ignore']).default('match').describe('whether the username of CONNECT must be that one'),
    groups: claim.optional().describe('claim with groups: a list, or a text with spaces between'),
    roles: claim.optional().describe('claim with roles'),
    attributes: z.record(text, claim).default({}).describe('attributes, each with its claim'),
    rules: claim.optional().describe('claim with rules of the form of acl.yaml'),
    publish: claim.optional().describe('claim with filters that may be published to'),
    subscribe: claim.optional().describe('claim with filters that may be subscribed to'),
    method: text.default('jwt').describe('name of the enhanced authentication of MQTT 5'),
  })
  .refine(({ keys, secret, jwks }) => keys !== undefined || secret !== undefined || jwks !== undefined, {
    message: 'has no keys: give `keys`, `jwks` or `secret`',
    when: ({ issues }) => issues.length === 0,
  })
type JwtConfig = z.infer<typeof configSchema>

const keysFile = {
  maxBytes: 1024 * 1024,
  read(content: string, mistake: (line: number, column: number, message: string) => void): readonly VerificationKey[] {
    const { keys, mistakes } = readKeys(content, true)
    for (const { line, message } of mistakes) mistake(line, 1, message)
    return keys
  },
}
const caFile = { maxBytes: 1024 * 1024, read: (content: string) => content }

const noKeys: Denial = Object.freeze({ deny: 'auth-jwt: the keys of the issuer are not known yet', busy: true })
const issuerAway: Denial = Object.freeze({
  deny: 'auth-jwt: no known key fits the token, and the issuer cannot be asked for newer ones',
  busy: true,
})
const unknownKey: Denial = Object.freeze({ deny: 'auth-jwt: no key fits the token' })
const otherUsername: Denial = Object.freeze({ deny: 'auth-jwt: the username is not that of the token' })
const noToken: Denial = Object.freeze({ deny: 'auth-jwt: there is no token' })

/** A client whose password does not look like a token is left to the next plugin. */
export default definePlugin({
  name: 'auth-jwt',
  config: configSchema,
  files: { keys: keysFile, ca: caFile },
  secretFiles: ['keys'],

  async setup(broker, config, { keys: file, ca }) {
    const own = config.secret === undefined ? [] : [secretKey(Buffer.from(config.secret))]
    const server = keyServerOf(config, ca?.value, broker)
    if (server !== undefined) {
      broker.onStop(() => server.close())
      await server.start()
    }
    const rules: TokenRules = {
      algorithms: config.algorithms ?? algorithms,
      issuers: listOf(config.issuer),
      audiences: listOf(config.audience),
      clockSkewS: config.clockSkewS,
      requireExpiry: config.requireExpiry,
    }
    const keys = (): readonly VerificationKey[] => [...own, ...(file?.value ?? []), ...(server?.keys ?? [])]

    async function check(token: string): Promise<{ readonly identity: Identity } | Denial> {
      const header = readHeader(token)
      if ('refused' in header) return refuse(header.refused)
      if (!(rules.algorithms as readonly string[]).includes(header.algorithm))
        return refuse('the algorithm is not allowed')
      let fitting = fittingKeys(keys(), header)
      if (fitting.length === 0 && server !== undefined) {
        await server.renew()
        fitting = fittingKeys(keys(), header)
        if (fitting.length === 0 && server.keys === undefined) return noKeys
        if (fitting.length === 0 && server.isStale) return issuerAway
      }
      if (fitting.length === 0) return unknownKey
      const verified = await verifyToken(token, fitting, rules)
      if ('refused' in verified) return refuse(verified.refused)
      return identityOf(verified.claims, config)
    }

    return {
      authenticate({ username, password }: Credentials): Promise<AuthenticateAnswer> | undefined {
        const token = password?.toString('latin1') ?? ''
        return looksLikeToken(token) ? check(token).then((answer) => matching(answer, username, config)) : undefined
      },
      authenticateExchange({ method, data, username }) {
        if (method !== config.method) return undefined
        if (data === undefined) return noToken
        return check(data.toString('latin1')).then((answer) => matching(answer, username, config))
      },
    }
  },
})

function keyServerOf(
  { jwks, timeoutMs, refreshS, cooldownS, keepDays }: JwtConfig,
  ca: string | undefined,
  { dataDir, log }: { readonly dataDir: string; readonly log: KeyServerLog },
): KeyServer | undefined {
  if (jwks === undefined) return undefined
  const times = { refreshMs: refreshS * 1_000, cooldownMs: cooldownS * 1_000, keepMs: keepDays * 86_400_000 }
  return new KeyServer({ url: jwks, ca, timeoutMs, ...times, folder: dataDir, log })
}
type KeyServerLog = ConstructorParameters<typeof KeyServer>[0]['log']

/** A client that gives no username has nothing that could differ. */
function matching<Answer extends { readonly identity: Identity } | Denial>(
  answer: Answer,
  username: string | undefined,
  config: JwtConfig,
): Answer | Denial {
  if (config.username === 'ignore' || username === undefined || !('identity' in answer)) return answer
  return username === answer.identity.username ? answer : otherUsername
}

function identityOf(claims: Readonly<Record<string, unknown>>, config: JwtConfig): { identity: Identity } | Denial {
  const find = (path: ClaimPath | undefined): unknown => (path === undefined ? undefined : claimAt(claims, path))
  const attributes = Object.entries(config.attributes).flatMap(([name, path]) => {
    const value = find(path)
    return value === undefined ? [] : [[name, typeof value === 'number' ? String(value) : value] as const]
  })
  const rules = rulesOf(find(config.rules), find(config.publish), find(config.subscribe))
  const identity = identityFrom({
    username: find(config.user),
    groups: namesOf(find(config.groups)),
    roles: namesOf(find(config.roles)),
    attributes: Object.fromEntries(attributes),
    rules,
    expiresAt: expiryOf(claims.exp, config.clockSkewS),
  })
  return 'wrong' in identity ? refuse(identity.wrong) : { identity }
}

/** Own names only: a claim is never taken from what all objects have. */
function claimAt(claims: Readonly<Record<string, unknown>>, path: ClaimPath): unknown {
  let value: unknown = claims
  for (const name of typeof path === 'string' ? [path] : path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/** `scope` is a text with spaces between (RFC 8693, 4.2). */
function namesOf(value: unknown): unknown {
  return typeof value === 'string' ? value.split(' ').filter((name) => name !== '') : value
}

function rulesOf(rules: unknown, publish: unknown, subscribe: unknown): unknown {
  if (publish === undefined && subscribe === undefined) return rules
  if (rules !== undefined && !Array.isArray(rules)) return rules
  // A claim without filters allows nothing, and a rule needs one.
  const filters = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0)
  const allow = { ...(filters(publish) ? { publish } : {}), ...(filters(subscribe) ? { subscribe } : {}) }
  return [...(rules ?? []), ...(Object.keys(allow).length === 0 ? [] : [{ allow }])]
}

/** By our clock. A token that came in only because clocks differ holds as long as that lets it. */
function expiryOf(exp: unknown, clockSkewS: number): number | undefined {
  if (typeof exp !== 'number') return undefined
  return exp * 1_000 > Date.now() ? exp * 1_000 : (exp + clockSkewS) * 1_000
}

function listOf(setting: string | readonly string[] | false): readonly string[] | undefined {
  if (setting === false) return undefined
  return typeof setting === 'string' ? [setting] : setting
}

function refuse(why: string): Denial {
  return { deny: `auth-jwt: ${why}` }
}
