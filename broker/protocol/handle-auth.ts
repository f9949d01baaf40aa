// Enhanced authentication: CONNECT with a method, and AUTH packets to and fro until a plugin is satisfied (MQTT 4.12).
import { noPluginAnswered } from '../hooks.ts'
import type { Credentials, Denial, Identity } from '../plugin.ts'
import type { Connection } from './connection.ts'
import { encodeAuth } from './encode.ts'
import { enter, type Opening, refuse } from './handle-connect.ts'
import type { Refusal } from './host.ts'
import { type AuthPacket, ProtocolViolation } from './packets.ts'
import { type ReasonCode, reason } from './reason-codes.ts'
import { reauthorize } from './reauthorize.ts'

/** An exchange under way. One that leads to CONNACK has limits.connectTimeoutMs for all its steps. */
export interface Exchange {
  readonly method: string
  readonly credentials: Credentials
  /** Whom failed logins are counted for: the username of CONNECT, until the plugin knows better. */
  username: string | undefined
  /** Of the plugin; it comes back with the next step. */
  state: unknown
  /** The CONNECT that waits for the end; undefined when a connected client proves itself again. */
  readonly opening: Opening | undefined
}

/** CONNECT named a method. */
export function beginExchange(connection: Connection, opening: Opening, method: string): Promise<void> {
  const { credentials } = opening
  // The password belongs to CONNECT; it is not kept for later.
  connection.authenticated = { method, credentials: { ...credentials, password: undefined } }
  const exchange = { method, credentials, username: credentials.username, state: undefined, opening }
  return step(connection, exchange, opening.packet.properties.authenticationData)
}

/** Of a connection that has sent CONNECT. */
export function handleAuth(connection: Connection, packet: AuthPacket): Promise<void> {
  const { exchange, authenticated } = connection
  if (authenticated === undefined) {
    throw new ProtocolViolation(reason.protocolError, 'AUTH, but CONNECT named no method')
  }
  if (packet.method !== authenticated.method) {
    throw new ProtocolViolation(reason.protocolError, 'AUTH with another method than CONNECT')
  }
  if (packet.reasonCode === reason.continueAuthentication) {
    if (exchange === undefined) throw new ProtocolViolation(reason.protocolError, 'AUTH goes on with nothing')
    return step(connection, exchange, packet.data)
  }
  if (exchange !== undefined) {
    throw new ProtocolViolation(reason.protocolError, 'AUTH begins before the one before has ended')
  }
  const { username } = authenticated.credentials
  return step(connection, { ...authenticated, username, state: undefined, opening: undefined }, packet.data)
}

/** What breaks the standard before CONNACK is answered with one, as a failed authentication is [MQTT-4.12.0-4]. */
export function refuseExchange(connection: Connection, violation: ProtocolViolation): void {
  const clientId = connection.exchange?.opening?.clientId ?? ''
  refuse(connection, clientId, { refused: connackCode(violation), because: violation.message })
}

/** CONNACK does not know all codes that a packet can break the standard with (table 3-1 of MQTT 5.0). */
function connackCode({ reasonCode }: ProtocolViolation): ReasonCode {
  if (reasonCode === reason.malformedPacket || reasonCode === reason.packetTooLarge) return reasonCode
  return reason.protocolError
}

async function step(connection: Connection, exchange: Exchange, data: Buffer | undefined): Promise<void> {
  const { host, peer } = connection
  const { method, credentials, state, opening } = exchange
  connection.exchange = exchange
  const client = opening === undefined ? connection.info : undefined
  const answer = await host.hooks.authenticateExchange({ ...credentials, method, data, state, client })
  if (connection.closed) return
  if ('challenge' in answer) {
    exchange.state = answer.state
    exchange.username = answer.username ?? exchange.username
    // A connected client is no guesser: what others at its address do does not end its connection.
    const banned = opening === undefined ? undefined : host.banned(exchange.username, peer.address)
    if (banned === undefined) challenge(connection, exchange, answer.challenge)
    else end(connection, exchange, banned)
    return
  }
  if ('deny' in answer) {
    fail(connection, exchange, answer)
    return
  }
  if (opening === undefined) await renew(connection, exchange, answer.identity, answer.data)
  else await enter(connection, opening, answer.identity, answer.data)
  connection.exchange = undefined
}

/** There is no way around a challenge: a client that takes no packet of its size cannot come in [MQTT-3.1.2-24]. */
function challenge(connection: Connection, exchange: Exchange, data: Buffer): void {
  const bytes = encodeAuth(reason.continueAuthentication, exchange.method, data)
  if (bytes.length <= connection.terms.maximumPacketSize) connection.replies.send(bytes)
  else end(connection, exchange, { refused: reason.packetTooLarge, because: 'AUTH is larger than the client takes' })
}

/** Proven again: its rights are those of now. Who it is does not change, for its session belongs to its user. */
async function renew(
  connection: Connection,
  exchange: Exchange,
  identity: Identity,
  proof: Buffer | undefined,
): Promise<void> {
  if (identity.username !== connection.info.identity.username) {
    fail(connection, exchange, { deny: 'another user than before' })
    return
  }
  connection.renewed(identity)
  await reauthorize(connection)
  if (!connection.closed) connection.replies.send(encodeAuth(reason.success, exchange.method, proof))
}

function fail(connection: Connection, exchange: Exchange, { deny: because, busy, serverReference }: Denial): void {
  const { host, peer } = connection
  if (busy === true) return end(connection, exchange, { refused: reason.serverBusy, because })
  if (serverReference !== undefined && exchange.opening !== undefined) {
    return end(connection, exchange, { refused: reason.useAnotherServer, because, serverReference })
  }
  host.counts.authFailures += 1
  const refused = because === noPluginAnswered ? reason.badAuthenticationMethod : reason.notAuthorized
  if (exchange.opening !== undefined && refused === reason.notAuthorized) {
    host.loginFailed(exchange.username, peer.address)
  }
  end(connection, exchange, { refused, because })
}

/** Before CONNACK with one [MQTT-4.12.0-4], later with DISCONNECT [MQTT-4.12.1-2]. */
function end(connection: Connection, { opening }: Exchange, refusal: Refusal): void {
  if (opening !== undefined) {
    refuse(connection, opening.clientId, refusal)
    return
  }
  const { host, peer, id } = connection
  const fields = {
    audit: 'refusal',
    clientId: id,
    address: peer.address,
    listener: peer.listener,
    because: refusal.because,
  }
  host.log.info(fields, 'authenticating again failed')
  connection.end(refusal.refused, 'authenticating again failed')
}
