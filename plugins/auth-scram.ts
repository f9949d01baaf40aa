// auth-scram: MQTT 5 clients prove with SCRAM-SHA-256 that they know the password, without ever sending it.
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { definePlugin, type ExchangeAnswer, type ExchangeStep } from '../broker/plugin.ts'
import { isScramProof, type ScramSecret, scramServerSignature } from '../broker/scram.ts'
import { createDecoys } from './auth/decoy.ts'
import { type ClientFirst, readClientFinal, readClientFirst, serverFinal, serverFirst } from './auth/scram-messages.ts'
import { type ScramUser, scramUsersOf, scramUsersSchema } from './auth/scram-users.ts'
import { accessOfUsers } from './auth/users.ts'

const method = 'SCRAM-SHA-256'
const nonceBytes = 18

const wrong: ExchangeAnswer = Object.freeze({ deny: 'auth-scram: unknown user or wrong password' })
const disabled: ExchangeAnswer = Object.freeze({ deny: 'auth-scram: the user is disabled' })
const removed: ExchangeAnswer = Object.freeze({ deny: 'auth-scram: the user was removed' })
const wrongNonce: ExchangeAnswer = Object.freeze({ deny: 'auth-scram: the nonce is not that of this exchange' })
const wrongBinding: ExchangeAnswer = Object.freeze({ deny: 'auth-scram: the header is not that of the first message' })

/** One exchange between its two steps; made for it, and gone with it. */
interface Exchange {
  readonly first: ClientFirst
  readonly nonce: string
  readonly challenge: string
  /** Undefined: there is no such user, and the secret is a decoy. */
  readonly user: ScramUser | undefined
  readonly secret: ScramSecret
}

/** Answers only for its method; who it is comes from the exchange, not from the username of CONNECT. */
export default definePlugin({
  name: 'auth-scram',
  config: z.strictObject({
    users: z.string().min(1).describe('YAML file, relative to the config file; reloaded when it changes'),
  }),
  files: { users: scramUsersSchema },
  secretFiles: ['users'],
  access: (_config, { users }) => accessOfUsers(scramUsersOf(users.value), users),

  async setup(broker, _config, { users: file }) {
    let users = scramUsersOf(file.value)
    const decoyFor = await createDecoys(broker.dataDir, () => users)

    file.onChange((changed) => {
      const before = users
      users = scramUsersOf(changed)
      void broker.rightsChanged(({ identity }) => before.has(identity.username))
      // Who was removed, disabled or given another password or other rights must prove it anew.
      for (const { id, identity } of broker.clients()) {
        const old = before.get(identity.username)
        if (old === undefined || isSame(old, users.get(identity.username))) continue
        broker.disconnect(id, 'user changed')
      }
    })

    function begin(data: Buffer | undefined): ExchangeAnswer {
      const first = readClientFirst(data)
      if ('broken' in first) return { deny: `auth-scram: ${first.broken}` }
      const { username } = first
      const user = users.get(username)
      // Made for everybody, so that it takes as long for those who exist.
      const decoy = decoyFor(username)
      const secret = user?.secret ?? decoy
      const nonce = `${first.nonce}${randomBytes(nonceBytes).toString('base64')}`
      const challenge = serverFirst(nonce, secret.salt, secret.iterations)
      const state: Exchange = { first, nonce, challenge, user, secret }
      return { challenge: Buffer.from(challenge), state, username }
    }

    function finish({ first, nonce, challenge, user, secret }: Exchange, data: Buffer | undefined): ExchangeAnswer {
      const final = readClientFinal(data)
      if ('broken' in final) return { deny: `auth-scram: ${final.broken}` }
      if (final.nonce !== nonce) return wrongNonce
      if (final.header !== Buffer.from(first.header).toString('latin1')) return wrongBinding
      const authMessage = `${first.bare},${challenge},${final.withoutProof}`
      const proven = isScramProof(secret, authMessage, final.proof)
      // Looked up again: the file may have changed while the client computed.
      const current = users.get(first.username)
      if (!proven || user === undefined || current?.text !== user.text) return wrong
      if (current.disabled) return disabled
      return { identity: current.identity, data: serverFinal(scramServerSignature(secret, authMessage)) }
    }

    return {
      authenticateExchange(step: ExchangeStep) {
        if (step.method !== method) return undefined
        return step.state === undefined ? begin(step.data) : finish(step.state as Exchange, step.data)
      },
      confirm(identity) {
        const user = users.get(identity.username)
        if (user === undefined || user.disabled) return user === undefined ? removed : disabled
        return { identity: user.identity }
      },
    }
  },
})

function isSame(one: ScramUser, other: ScramUser | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
