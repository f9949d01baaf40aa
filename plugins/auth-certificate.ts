// auth-certificate: who a client is stands in its certificate, which the TLS listener has verified.
import { z } from 'zod'
import { type AuthenticateAnswer, definePlugin, type PeerCertificate } from '../broker/plugin.ts'
import { identityFrom } from './auth/login-identity.ts'

/** Where in a certificate the username stands, and how OpenSSL writes its alternative names. */
const altNameKinds = { dns: 'DNS:', email: 'email:', uri: 'URI:' } as const

const names = z.array(z.string().min(1)).default([])
const loginSchema = z.strictObject({
  user: z
    .enum(['common-name', 'dns', 'email', 'uri'])
    .default('common-name')
    .describe('the common name of the subject, or the one alternative name of this kind'),
  prefix: z.string().default('').describe('what the name must begin with; the username is what comes behind'),
  username: z.enum(['match', 'ignore']).default('match').describe('whether a username in CONNECT must be that one'),
  groups: names.describe('of everybody who comes in with a certificate'),
  roles: names,
})
type LoginConfig = z.infer<typeof loginSchema>

const otherUsername: AuthenticateAnswer = Object.freeze({
  deny: 'auth-certificate: the username is not that of the certificate',
})
const noName: AuthenticateAnswer = Object.freeze({
  deny: 'auth-certificate: the certificate does not hold exactly one such name',
})

/** A client without a certificate is left to the next plugin. */
export default definePlugin({
  name: 'auth-certificate',
  config: loginSchema.extend({
    listeners: z
      .record(z.string().min(1), loginSchema)
      .optional()
      .describe('only on the listeners with these names, each with settings of its own'),
  }),

  setup(_broker, { listeners, ...everywhere }) {
    const configOf = (listener: string): LoginConfig | undefined => {
      if (listeners === undefined) return everywhere
      return Object.hasOwn(listeners, listener) ? listeners[listener] : undefined
    }

    return {
      authenticate({ certificate, listener, username }) {
        const config = configOf(listener)
        if (certificate === undefined || config === undefined) return undefined
        const name = nameIn(certificate, config)
        if (name === undefined) return noName
        const { groups, roles } = config
        const identity = identityFrom({ username: name, groups, roles, expiresAt: certificate.endsAt })
        if ('wrong' in identity) return { deny: `auth-certificate: ${identity.wrong}` }
        if (config.username === 'match' && username !== undefined && username !== name) return otherUsername
        return { identity }
      },
    }
  },
})

/** Undefined when there is none, or more than one: then it is not said who it is. */
function nameIn({ commonName, subjectAltNames }: PeerCertificate, { user, prefix }: LoginConfig): string | undefined {
  const candidates = user === 'common-name' ? [commonName] : altNames(subjectAltNames, altNameKinds[user])
  const fitting = candidates.filter((name) => name.startsWith(prefix))
  return fitting.length === 1 ? fitting[0]?.slice(prefix.length) : undefined
}

function altNames(names: readonly string[], kind: string): string[] {
  // OpenSSL puts into quotes what could be read as something else; no username needs that.
  return names
    .filter((name) => name.startsWith(kind))
    .map((name) => (name.includes('"') ? '' : name.slice(kind.length)))
}
