// auth-anonymous: lets everyone in who connects from this machine, by whatever name. For tests and first steps.
import { BlockList, isIPv6 } from 'node:net'
import { z } from 'zod'
import { type AuthenticateAnswer, definePlugin } from '../broker/plugin.ts'

/** The username of a client that gives none. It owns nothing: no `{user}` rule applies, no limit of a user counts. */
const nobody = ''

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

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
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
  return plain === '' || loopback.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
}
