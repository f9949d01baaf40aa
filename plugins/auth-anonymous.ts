// auth-anonymous: lets everyone in who connects from this machine, by whatever name. For tests and first steps.
import { z } from 'zod'
import { addressList, plainAddress } from '../broker/address.ts'
import { type AuthenticateAnswer, definePlugin } from '../broker/plugin.ts'

/** The username of a client that gives none. It owns nothing: no `{user}` rule applies, no limit of a user counts. */
const nobody = ''

const isOfThisMachine = addressList(['127.0.0.0/8', '::1'])

const notLoopback: AuthenticateAnswer = Object.freeze({
  deny: 'auth-anonymous: anonymous access is for clients on this machine; use auth-file for others',
})

/** It answers every client, so what stands after it in the config is never asked. */
export default definePlugin({
  name: 'auth-anonymous',
  config: z.strictObject({}),
  access: () => ({}),
  setup() {
    return {
      authenticate({ username, address }) {
        if (!isLoopback(address)) return notLoopback
        return { identity: { username: username ?? nobody, groups: [], roles: [], attributes: {} } }
      },
    }
  },
})

/** "" is a Unix socket. */
function isLoopback(address: string): boolean {
  return address === '' || isOfThisMachine(plainAddress(address))
}
