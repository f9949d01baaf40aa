// Enhanced authentication: CONNECT with a method, and AUTH packets to and fro until a plugin is satisfied (MQTT 4.12).
import { noPluginAnswered } from '../hooks.ts'
import type { Credentials } from '../plugin.ts'
import type { Connection } from './connection.ts'
import { encodeAuth } from './encode.ts'
import { enter, type Opening, refuse } from './handle-connect.ts'
import { type AuthPacket, ProtocolViolation } from './packets.ts'
import { reason } from './reason-codes.ts'

/** An exchange under way. */
export interface Exchange {
  readonly method: string
  readonly credentials: Credentials
  /** Of the plugin; it comes back with the next step. */
  state: unknown
  /** The CONNECT that waits for the end; undefined when a connected client proves itself again. */
  readonly opening: Opening | undefined
}

/** CONNECT named a method. */
export function beginExchange(connection: Connection, opening: Opening, method: string): Promise<void> {
  const exchange = { method, credentials: opening.credentials, state: undefined, opening }
  connection.exchange = exchange
  connection.authenticated = { method, credentials: opening.credentials }
  return step(connection, exchange, opening.packet.properties.authenticationData)
}

export function handleAuth(connection: Connection, packet: AuthPacket): Promise<void> {
  const { exchange, authenticated } = connection
  // MQTT-4.12.0-5: the method never changes; MQTT-4.12.0-6: without one in CONNECT there is no AUTH.
  if (authenticated === undefined || packet.method !== authenticated.method) {
    throw new ProtocolViolation(reason.protocolError, 'AUTH with another method than CONNECT')
  }
  if (packet.reasonCode === reason.continueAuthentication) {
    if (exchange === undefined) throw new ProtocolViolation(reason.protocolError, 'AUTH goes on with nothing')
    return step(connection, exchange, packet.data)
  }
  if (exchange !== undefined || !connection.connected) {
    throw new ProtocolViolation(reason.protocolError, 'AUTH begins before the one before has ended')
  }
  const again = { ...authenticated, state: undefined, opening: undefined }
  connection.exchange = again
  return step(connection, again, packet.data)
}

async function step(connection: Connection, exchange: Exchange, data: Buffer | undefined): Promise<void> {
  const { host } = connection
  const { method, credentials, state, opening } = exchange
  const client = opening === undefined ? connection.info : undefined
  const answer = await host.hooks.authenticateExchange({ ...credentials, method, data, state, client })
  if (connection.closed) return
  if ('challenge' in answer) {
    exchange.state = answer.state
    connection.replies.send(encodeAuth(reason.continueAuthentication, method, answer.challenge))
    return
  }
  connection.exchange = undefined
  if ('deny' in answer) {
    fail(connection, exchange, answer.deny)
  } else if (opening !== undefined) {
    await enter(connection, opening, answer.identity, answer.data)
  } else if (answer.identity.username !== connection.info.identity.username) {
    fail(connection, exchange, 'another user than before')
  } else {
    connection.renewed(answer.identity)
    connection.replies.send(encodeAuth(reason.success, method, answer.data))
  }
}

function fail(connection: Connection, { opening, credentials }: Exchange, because: string): void {
  const { host, peer } = connection
  host.counts.authFailures += 1
  if (opening === undefined) {
    connection.end(reason.notAuthorized, 'authenticating again failed')
    return
  }
  if (because === noPluginAnswered) {
    refuse(connection, opening.clientId, { refused: reason.badAuthenticationMethod, because })
    return
  }
  host.loginFailed(credentials.username, peer.address)
  refuse(connection, opening.clientId, { refused: reason.notAuthorized, because })
}
