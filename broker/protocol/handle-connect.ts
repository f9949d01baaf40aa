// CONNECT: check, ask who it is, take the session, answer (MQTT 3.1, 3.2).
import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import type { AuthenticateAnswer, ClientInfo, Credentials, Denial, Identity } from '../plugin.ts'
import type { WillRecord } from '../store/store.ts'
import type { ClientTerms, Connection } from './connection.ts'
import { type ConnackProperties, encodeConnack } from './encode.ts'
import { formerClientOf } from './former-client.ts'
import { beginExchange } from './handle-auth.ts'
import { sendWhenStored } from './handle-publish.ts'
import type { Opened, Refusal } from './host.ts'
import type { ConnectPacket, ProtocolViolation, Will } from './packets.ts'
import { reason } from './reason-codes.ts'
import { reauthorize } from './reauthorize.ts'
import { reservedTopic } from './reserved.ts'
import { checkTopicLimits } from './topics.ts'
import { willMessage } from './will-message.ts'

/** A CONNECT on its way to a session. */
export interface Opening {
  readonly packet: ConnectPacket
  readonly clientId: string
  /** We gave the client id (MQTT-3.1.3-6). */
  readonly assigned: boolean
  readonly credentials: Credentials
}

/** A promise where somebody has to be waited for; the client is read on after it. */
type Later = Promise<void> | undefined

/** Whoever comes in with a remembered password waits for nothing: a crowd that comes back is served in one go. */
export function handleConnect(connection: Connection, packet: ConnectPacket): Later {
  takeTerms(connection, packet)
  const assigned = packet.clientId === ''
  const clientId = assigned ? `oriole-${randomUUID()}` : packet.clientId
  const refusal =
    checkConnect(connection, packet) ?? connection.host.admit(clientId, packet.username, connection.peer.address)
  if (refusal !== undefined) {
    refuse(connection, clientId, refusal)
    return undefined
  }

  const credentials = credentialsOf(connection, packet, clientId)
  const opening = { packet, clientId, assigned, credentials }
  const { authenticationMethod } = packet.properties
  if (authenticationMethod !== undefined) return beginExchange(connection, opening, authenticationMethod)
  const answer = connection.host.hooks.authenticate(credentials)
  if (answer instanceof Promise) return answer.then((given) => answered(connection, opening, given))
  return answered(connection, opening, answer)
}

function answered(connection: Connection, opening: Opening, answer: AuthenticateAnswer): Later {
  if (connection.closed) return undefined
  // Whatever else it has: who is denied is not let in.
  if (!('deny' in answer)) return enter(connection, opening, answer.identity, undefined)
  refuseLogin(connection, opening, answer)
  return undefined
}

/** It is known who the client is: its will, its session, its CONNACK. `proof`: the last Authentication Data. */
export function enter(connection: Connection, opening: Opening, identity: Identity, proof: Buffer | undefined): Later {
  const { packet, clientId } = opening
  const info = describe(connection, packet, clientId, identity)
  // From here on it is found when rights change.
  connection.identified(info)
  const hasExpired = identity.expiresAt !== undefined && identity.expiresAt <= Date.now()
  const barred = hasExpired
    ? { refused: reason.notAuthorized, because: 'the credentials have expired' }
    : connection.host.admitIdentity(info)
  if (barred !== undefined) refuse(connection, clientId, barred)
  else if (packet.will === undefined) return open(connection, opening, { info, will: undefined, proof })
  else return enterWithWill(connection, opening, { info, proof }, packet.will)
  return undefined
}

async function enterWithWill(
  connection: Connection,
  opening: Opening,
  { info, proof }: Omit<Entering, 'will'>,
  wanted: Will,
): Promise<void> {
  const will = await checkWill(connection, info, wanted)
  if (connection.closed) return
  if ('refused' in will) refuse(connection, opening.clientId, will)
  else await open(connection, opening, { info, will, proof })
}

/** Who comes in, with what. */
interface Entering {
  readonly info: ClientInfo
  readonly will: WillRecord | undefined
  readonly proof: Buffer | undefined
}

function open(connection: Connection, opening: Opening, { info, will, proof }: Entering): Later {
  const { packet, clientId } = opening
  const begin = (opened: Opened | Refusal | undefined): Later => {
    if (opened === undefined) return undefined
    if ('refused' in opened) {
      refuse(connection, clientId, opened)
      return undefined
    }
    connection.opened(opened.session)
    const end = (): void => {
      if (!connection.closed) welcome(connection, opening, opened, proof)
    }
    // What the house subscribes it to is a part of the session before the client hears of it.
    if (opened.present || info.identity.subscriptions !== undefined) return reauthorize(connection).then(end)
    end()
    return undefined
  }
  const expiryS = expiryOf(connection, packet)
  const answer = connection.host.open(connection, { info, cleanStart: packet.cleanStart, expiryS, will })
  return answer instanceof Promise ? answer.then(begin) : begin(answer)
}

/**
 * A CONNECT of a version that we do not speak is answered before the end (MQTT-3.1.2-2); everything else that is not
 * a CONNECT gets no answer at all. True: it was answered.
 */
export function refuseVersion(connection: Connection, violation: ProtocolViolation): boolean {
  if (violation.reasonCode !== reason.unsupportedProtocolVersion) return false
  connection.endWith(
    encodeConnack(4, { sessionPresent: false, reasonCode: reason.unsupportedProtocolVersion }),
    violation.message,
  )
  return true
}

function takeTerms(connection: Connection, packet: ConnectPacket): void {
  const { limits } = connection.host
  const { properties } = packet
  const terms: ClientTerms = connection.terms
  terms.version = packet.protocolVersion
  terms.window = properties.receiveMaximum ?? limits.inflightOut
  terms.maximumPacketSize = properties.maximumPacketSize ?? Number.POSITIVE_INFINITY
  terms.problemInformation = properties.requestProblemInformation ?? true
  terms.silenceMs = keepAliveOf(packet, limits.keepaliveMaxS) * 1500
  const aliasMax = Math.min(properties.topicAliasMaximum ?? 0, limits.topicAliasMax)
  if (aliasMax > 0) connection.aliases.outgoingMax = aliasMax
}

/** A client that asks for no keepalive is still found when it is gone. */
function keepAliveOf(packet: ConnectPacket, maxS: number): number {
  return packet.keepAlive === 0 ? maxS : Math.min(packet.keepAlive, maxS)
}

function checkConnect(connection: Connection, packet: ConnectPacket): Refusal | undefined {
  const { limits } = connection.host
  const { clientId, protocolVersion } = packet
  // MQTT-3.1.3-8: before MQTT 5 an empty client id needs a clean session, and MQTT 3.1 knows no empty one.
  const mayBeEmpty = protocolVersion === 5 || (protocolVersion === 4 && packet.cleanStart)
  if (clientId === '' && !mayBeEmpty)
    return { refused: reason.clientIdentifierNotValid, because: 'the client id is empty' }
  if (Buffer.byteLength(clientId) > limits.clientIdMaxBytes) {
    return { refused: reason.clientIdentifierNotValid, because: 'the client id is too long' }
  }
  if (hasControlCharacter(clientId)) {
    return { refused: reason.clientIdentifierNotValid, because: 'the client id has control characters' }
  }
  return undefined
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true
  }
  return false
}

function credentialsOf(connection: Connection, packet: ConnectPacket, clientId: string): Credentials {
  const { address, listener, certificate } = connection.peer
  const { username, password, protocolVersion } = packet
  return { clientId, username, password, address, listener, certificate, protocolVersion }
}

function describe(connection: Connection, packet: ConnectPacket, clientId: string, identity: Identity): ClientInfo {
  return {
    id: clientId,
    identity,
    address: connection.peer.address,
    listener: connection.peer.listener,
    protocolVersion: packet.protocolVersion,
    cleanStart: packet.cleanStart,
    connectedAt: Date.now(),
  }
}

/** The will is checked and authorised now, and authorised again when it fires. */
async function checkWill(connection: Connection, info: ClientInfo, will: Will): Promise<WillRecord | Refusal> {
  const { limits, hooks, counts } = connection.host
  const problem = checkTopicLimits(will.topic, limits)
  if (problem !== undefined) return { refused: reason.topicNameInvalid, because: `will: ${problem}` }
  if (will.payload.length > limits.willMaxBytes)
    return { refused: reason.packetTooLarge, because: 'the will is too large' }
  if (will.properties?.payloadFormat === 1 && !isUtf8(will.payload))
    return { refused: reason.payloadFormatInvalid, because: 'the payload of the will is not UTF-8' }
  if (will.retain && will.payload.length > limits.retainedMaxBytes)
    return { refused: reason.quotaExceeded, because: 'the retained will is too large' }
  const question = { topic: will.topic, qos: will.qos, retain: will.retain, will: true }
  const decision = reservedTopic(will.topic) ?? (await hooks.authorizePublish(info, question))
  if (!decision.allow) {
    counts.aclDenied.will += 1
    return { refused: reason.notAuthorized, because: `will: ${decision.because}` }
  }
  const message = willMessage(will, info)
  return { ...formerClientOf(info, hooks), message, delayS: will.delayS, firesAt: undefined }
}

/** Before MQTT 5: none for a clean session, else our default. */
function expiryOf(connection: Connection, packet: ConnectPacket): number {
  const { sessionExpiryS, sessionExpiryMaxS } = connection.host.limits
  if (packet.protocolVersion < 5) return packet.cleanStart ? 0 : Math.min(sessionExpiryS, sessionExpiryMaxS)
  return Math.min(packet.properties.sessionExpiryS ?? 0, sessionExpiryMaxS)
}

function refuseLogin(connection: Connection, { packet, clientId }: Opening, denial: Denial): void {
  const { deny, serverReference, busy } = denial
  if (busy === true) return refuse(connection, clientId, { refused: reason.serverBusy, because: deny })
  if (serverReference !== undefined) {
    return refuse(connection, clientId, { refused: reason.useAnotherServer, because: deny, serverReference })
  }
  connection.host.counts.authFailures += 1
  connection.host.loginFailed(packet.username, connection.peer.address)
  refuse(connection, clientId, { refused: reason.badUserNameOrPassword, because: deny })
}

export function refuse(connection: Connection, clientId: string, refusal: Refusal): void {
  const { host, peer, version } = connection
  host.counts.connectsRefused[refusal.refused] += 1
  host.log.info(
    { audit: 'refusal', clientId, address: peer.address, listener: peer.listener, because: refusal.because },
    'connect refused',
  )
  const { refused: reasonCode, serverReference } = refusal
  connection.endWith(
    encodeConnack(version, {
      sessionPresent: false,
      reasonCode,
      properties: serverReference === undefined ? undefined : { serverReference },
    }),
    'connect refused',
  )
}

/** CONNACK waits until the session is stored; what the client sends meanwhile is taken up and answered after it. */
function welcome(
  connection: Connection,
  opening: Opening,
  { session, present, replaced }: Opened,
  proof: Buffer | undefined,
): void {
  const { host, info } = connection
  const bytes = encodeConnack(connection.version, {
    sessionPresent: present,
    reasonCode: reason.success,
    properties: connection.version === 5 ? promises(connection, opening, session.expiryS, proof) : undefined,
  })
  const started = (): void => {
    if (connection.closed) return
    connection.welcomed()
    host.emitEvent('connackSent', connection)
    host.hooks.onConnected?.(info)
    // Whoever was told may have ended it.
    if (connection.closed) return
    session.outbox.attach(connection)
    host.emitEvent('clientReady', connection)
  }
  host.counts.connectsAccepted += 1
  const { username } = info.identity
  host.log.info(
    { audit: 'login', clientId: info.id, username, address: info.address, listener: info.listener, present },
    'client connected',
  )
  if (session.persistent || replaced) sendWhenStored(connection, bytes, started)
  else connection.replies.send(bytes, started)
}

/** What we tell an MQTT 5 client where it differs from what it asked or from the defaults of the standard. */
function promises(
  connection: Connection,
  { packet, clientId, assigned }: Opening,
  expiryS: number,
  proof: Buffer | undefined,
): ConnackProperties {
  const { limits } = connection.host
  const keepAlive = keepAliveOf(packet, limits.keepaliveMaxS)
  const method = packet.properties.authenticationMethod
  return {
    receiveMaximum: limits.inflightIn,
    maximumPacketSize: limits.packetMaxBytes,
    topicAliasMaximum: limits.topicAliasMax,
    ...(expiryS !== (packet.properties.sessionExpiryS ?? 0) && { sessionExpiryS: expiryS }),
    ...(keepAlive !== packet.keepAlive && { serverKeepAlive: keepAlive }),
    ...(assigned && { assignedClientId: clientId }),
    ...(packet.properties.requestResponseInformation === true && { responseInformation: `reply/${clientId}` }),
    ...(method !== undefined && { authenticationMethod: method, authenticationData: proof }),
  }
}
