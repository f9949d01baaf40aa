// PUBLISH from a client, and the acknowledgements in both directions (MQTT 3.3 - 3.7, 4.3).
import { isUtf8 } from 'node:buffer'
import { OrioleError } from '../errors.ts'
import type { Message } from '../message.ts'
import type { Decision } from '../plugin.ts'
import type { Connection } from './connection.ts'
import { encodeAck } from './encode.ts'
import { type AckPacket, ProtocolViolation, type PublishPacket } from './packets.ts'
import { type ReasonCode, reason } from './reason-codes.ts'
import { reservedTopic, withoutReserved } from './reserved.ts'
import { checkTopicLimits } from './topics.ts'

export function handlePublish(connection: Connection, packet: PublishPacket): Promise<void> | undefined {
  const { host, session } = connection
  const topic = connection.aliases.incoming(packet.topic, packet.topicAlias, host.limits.topicAliasMax)
  host.counts.messagesReceived[packet.qos === 0 ? 'qos0' : packet.qos === 1 ? 'qos1' : 'qos2'] += 1
  if (packet.qos === 2) {
    if (session.inbound?.has(packet.packetId) === true) return repeatPubrec(connection, packet.packetId)
    if ((session.inbound?.size ?? 0) >= host.limits.inflightIn) {
      throw new ProtocolViolation(reason.receiveMaximumExceeded, 'too many unreleased QoS 2 messages')
    }
  }
  const refusal = refusalOf(connection, packet, topic)
  if (refusal !== undefined) {
    refusePublish(connection, packet, refusal.refused, refusal.because)
    return undefined
  }
  const question = { topic, qos: packet.qos, retain: packet.retain, will: false }
  const decision = reservedTopic(topic) ?? host.hooks.authorizePublish(connection.info, question)
  if (decision instanceof Promise) return decision.then((answer) => decided(connection, packet, topic, answer))
  return decided(connection, packet, topic, decision)
}

/** PUBACK, PUBREC, PUBREL and PUBCOMP from the client. */
export function handleAck(connection: Connection, packet: AckPacket): undefined {
  const { outbox } = connection.session
  connection.host.counts.acksReceived += 1
  switch (packet.type) {
    case 'puback':
      outbox.acknowledged(packet.packetId, 1)
      return undefined
    case 'pubrec':
      if (packet.reasonCode >= reason.unspecifiedError) outbox.acknowledged(packet.packetId, 2)
      else answerPubrec(connection, packet.packetId)
      return undefined
    case 'pubrel':
      answerPubrel(connection, packet.packetId)
      return undefined
    case 'pubcomp':
      outbox.acknowledged(packet.packetId, 2)
  }
}

interface PublishRefusal {
  readonly refused: ReasonCode
  readonly because: string
}

function refusalOf(connection: Connection, packet: PublishPacket, topic: string): PublishRefusal | undefined {
  const problem = checkTopicLimits(topic, connection.host.limits)
  if (problem !== undefined) return { refused: reason.topicNameInvalid, because: problem }
  // MQTT-3.3.2-4 leaves the check to us; a receiver shall be able to rely on the claim.
  if (packet.properties?.payloadFormat === 1 && !isUtf8(packet.payload)) {
    return { refused: reason.payloadFormatInvalid, because: 'the payload is not UTF-8' }
  }
  return undefined
}

/** Asked only of those who may publish it: it tells whether there is a retained message of the topic. */
function retainedRefusal({ host, info }: Connection, packet: PublishPacket, topic: string): PublishRefusal | undefined {
  const { limits, store } = host
  if (!packet.retain || packet.payload.length === 0) return undefined
  if (packet.payload.length > limits.retainedMaxBytes) {
    return { refused: reason.quotaExceeded, because: 'the retained message is too large' }
  }
  if (store.getRetained(topic) !== undefined) return undefined
  if (store.retainedCount >= limits.retainedMessages) {
    return { refused: reason.quotaExceeded, because: 'too many retained messages' }
  }
  if (store.retainedCountOf(info.identity.username) >= limits.retainedPerUser) {
    return { refused: reason.quotaExceeded, because: 'too many retained messages of this user' }
  }
  return undefined
}

function decided(
  connection: Connection,
  packet: PublishPacket,
  topic: string,
  decision: Decision,
): Promise<void> | undefined {
  if (connection.closed) return undefined
  if (!decision.allow) {
    connection.host.counts.aclDenied.publish += 1
    refusePublish(connection, packet, reason.notAuthorized, decision.because, topic)
    return undefined
  }
  const quota = retainedRefusal(connection, packet, topic)
  if (quota !== undefined) {
    refusePublish(connection, packet, quota.refused, quota.because)
    return undefined
  }
  const message = messageOf(connection, packet, topic)
  const { onPublish, rights } = connection.host.hooks
  const changed = onPublish === undefined ? message : onPublish(message, connection.info)
  if (changed instanceof Promise) {
    const { version } = rights
    return changed.then((answer) =>
      version === rights.version ? accept(connection, packet, answer) : acceptNow(connection, packet, topic, answer),
    )
  }
  accept(connection, packet, changed)
  return undefined
}

/** Rights have changed while a plugin worked on the message: what was allowed before is asked again. */
async function acceptNow(connection: Connection, packet: PublishPacket, topic: string, message: Message | null) {
  const { qos, retain } = packet
  const decision = await connection.host.hooks.authorizePublish(connection.info, { topic, qos, retain, will: false })
  if (decision.allow || connection.closed) return accept(connection, packet, message)
  connection.host.counts.aclDenied.publish += 1
  refusePublish(connection, packet, reason.notAuthorized, decision.because, topic)
}

function messageOf(connection: Connection, packet: PublishPacket, topic: string): Message {
  const now = Date.now()
  const { qos, retain, payload, properties, messageExpiryS } = packet
  return {
    topic,
    // A view on the socket's chunk would hold all of the chunk for as long as the message lives.
    payload: qos > 0 || retain ? Buffer.from(payload) : payload,
    qos,
    retain,
    properties: withoutReserved(properties),
    clientId: connection.info.id,
    username: connection.info.identity.username,
    publishedAt: now,
    expiresAt: messageExpiryS === undefined ? undefined : now + messageExpiryS * 1000,
  }
}

/** `message` null: a plugin dropped it; the publisher is not to blame and is answered as if it had arrived. */
function accept(connection: Connection, packet: PublishPacket, message: Message | null): void {
  if (connection.closed) return
  if (message === null) {
    connection.host.counts.messagesDropped.plugin += 1
    acknowledgeDropped(connection, packet)
  } else if (packet.qos === 0) publishUnacknowledged(connection, message)
  else publishAcknowledged(connection, packet, message)
}

function acknowledgeDropped(connection: Connection, packet: PublishPacket): void {
  if (packet.qos === 0) return
  connection.host.counts.acksSent += 1
  const bytes = ackBytes(connection, packet, reason.success)
  if (packet.qos === 2 && keepPacketId(connection, packet.packetId)) sendWhenStored(connection, bytes)
  else connection.replies.send(bytes)
}

/** Behind stored messages of the same client it waits with them, and counts with them. */
function publishUnacknowledged(connection: Connection, message: Message): void {
  const bytes = sizeOf(message)
  let waits: boolean | undefined
  connection.host.publish(message, connection.intake.origin, () => {
    if (waits === true) connection.intake.removeWaiting(bytes)
    waits = false
  })
  if (waits === false) return
  waits = true
  connection.intake.addWaiting(bytes)
}

function publishAcknowledged(connection: Connection, packet: PublishPacket, message: Message): void {
  const { host } = connection
  const { origin } = connection.intake
  // Nobody gets the message before its packet identifier is on disk: after a crash it could come twice (MQTT-4.3.3-10).
  const first = packet.qos === 2 && keepPacketId(connection, packet.packetId) ? 1 : 0
  origin.waiting += first
  const bytes = sizeOf(message)
  let code: ReasonCode | undefined
  let later: (() => void) | undefined
  host.publish(message, origin, (error, matched) => {
    code = matched ? reason.success : reason.noMatchingSubscribers
    if (error === undefined) later?.()
    else if (isFull(error)) code = reason.quotaExceeded
    else {
      if (later !== undefined) connection.intake.removeWaiting(bytes)
      if (packet.qos === 2) forgetPacketId(connection, packet.packetId)
      connection.storageFailed()
    }
  })
  origin.waiting -= first
  if (code === reason.quotaExceeded) {
    if (packet.qos === 2) forgetPacketId(connection, packet.packetId)
    const because = 'the disk space of the broker is used up'
    // Before MQTT 5 an acknowledgement cannot say no.
    if (connection.version < 5) connection.end(code, because)
    else sendAck(connection, packet, code, because)
    return
  }
  if (code !== undefined) {
    sendAck(connection, packet, code)
    return
  }
  const reply = connection.replies.hold()
  connection.intake.addWaiting(bytes)
  const settle = (): void => {
    connection.intake.removeWaiting(bytes)
    if (connection.closed) return
    host.counts.acksSent += 1
    connection.replies.settle(reply, ackBytes(connection, packet, code ?? reason.success))
  }
  later = settle
}

/** The store works and takes no more: `published` is told at once. */
function isFull(error: Error): boolean {
  return error instanceof OrioleError && error.code === 'ORI_STORE_FULL'
}

function sizeOf(message: Message): number {
  return message.payload.length + message.topic.length
}

/** True: the packet identifier is being stored, so that a repeated PUBLISH is known also after a crash. */
function keepPacketId(connection: Connection, packetId: number): boolean {
  const { session, host } = connection
  session.inbound ??= new Set()
  session.inbound.add(packetId)
  if (!session.persistent) return false
  host.store.putInbound(session.clientId, packetId)
  return true
}

/** The message was not stored, so that the client's next try is not a repetition. */
function forgetPacketId({ session, host }: Connection, packetId: number): void {
  session.inbound?.delete(packetId)
  if (session.persistent) host.store.deleteInbound(session.clientId, packetId)
}

/** The first PUBLISH may have come over a connection before, and may still be on its way to the disk. */
function repeatPubrec(connection: Connection, packetId: number): undefined {
  const bytes = encodeAck(connection.version, 'pubrec', packetId, reason.success, undefined)
  if (connection.session.persistent) sendWhenStored(connection, bytes)
  else connection.replies.send(bytes)
}

/** Before MQTT 5 the only honest answer to a publish that is refused is the end of the connection (MQTT-3.3.5-2). */
function refusePublish(
  connection: Connection,
  packet: PublishPacket,
  refused: ReasonCode,
  because: string,
  topic = packet.topic,
): void {
  const { host } = connection
  host.counts.messagesDropped.not_authorized += 1
  host.log.info({ audit: 'refusal', clientId: connection.id, topic, because }, 'publish refused')
  if (connection.version < 5) {
    connection.end(refused, 'publish refused')
    return
  }
  // What a plugin says about rights is for the log; what breaks a limit is told.
  const told = refused === reason.notAuthorized ? 'not authorized' : because
  if (packet.qos > 0) sendAck(connection, packet, refused, told)
  else if (refused !== reason.notAuthorized) connection.end(refused, because)
}

function sendAck(connection: Connection, packet: PublishPacket, reasonCode: ReasonCode, because?: string): void {
  connection.host.counts.acksSent += 1
  connection.replies.send(ackBytes(connection, packet, reasonCode, because))
}

function ackBytes(connection: Connection, packet: PublishPacket, reasonCode: ReasonCode, because?: string): Buffer {
  const type = packet.qos === 2 ? 'pubrec' : 'puback'
  const why = because === undefined ? undefined : connection.explain(because)
  return encodeAck(connection.version, type, packet.packetId, reasonCode, why, connection.terms.maximumPacketSize)
}

/** PUBREL leaves once it is on disk that the message is the client's. */
function answerPubrec(connection: Connection, packetId: number): void {
  const { session, host, version } = connection
  if (!session.outbox.received(packetId)) {
    connection.sendPubrel(packetId, version === 5 ? reason.packetIdentifierNotFound : reason.success)
    return
  }
  const bytes = encodeAck(version, 'pubrel', packetId, reason.success, undefined)
  if (session.persistent) sendWhenCommitted(connection, bytes, (done) => host.commitSent(session, done))
  else connection.replies.send(bytes)
  host.counts.acksSent += 1
}

/** PUBCOMP leaves once the packet identifier is free on disk too: else a crash would swallow its next message. */
function answerPubrel(connection: Connection, packetId: number): void {
  const { session, host, version } = connection
  host.counts.acksSent += 1
  if (session.inbound?.delete(packetId) !== true) {
    const unknown = version === 5 ? reason.packetIdentifierNotFound : reason.success
    connection.replies.send(encodeAck(version, 'pubcomp', packetId, unknown, undefined))
    return
  }
  const bytes = encodeAck(version, 'pubcomp', packetId, reason.success, undefined)
  if (session.persistent) {
    host.store.deleteInbound(session.clientId, packetId)
    sendWhenStored(connection, bytes)
  } else connection.replies.send(bytes)
}

/** In its turn, and not before everything written until now is durable. */
export function sendWhenStored(connection: Connection, bytes: Buffer, sent?: () => void): void {
  sendWhenCommitted(connection, bytes, (done) => connection.host.store.commit(done), sent)
}

function sendWhenCommitted(
  connection: Connection,
  bytes: Buffer,
  commit: (done: (error: Error | undefined) => void) => void,
  sent?: () => void,
): void {
  const reply = connection.replies.hold(sent)
  commit((error) => {
    if (connection.closed) return
    if (error !== undefined) connection.storageFailed()
    else connection.replies.settle(reply, bytes)
  })
}
