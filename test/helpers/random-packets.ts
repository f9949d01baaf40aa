// Random packets of a client, and the same packets as mqtt-packet writes them: the oracle of the codec tests.
import { generate, type IConnectPacket, type IPublishPacket, type Packet } from 'mqtt-packet'
import type { MessageProperties, QoS } from '../../broker/message.ts'
import type {
  ClientPacket,
  ConnectPacket,
  ConnectProperties,
  ProtocolVersion,
  PublishPacket,
  SubscribePacket,
  UserProperties,
  Will,
} from '../../broker/protocol/packets.ts'
import type { Random } from './random.ts'

const letters = [
  'a',
  'B',
  '7',
  ' ',
  '-',
  '$',
  'é',
  'ß',
  'я',
  '漢',
  '\uFEFF',
  '€',
  '😀',
  '\u{10FFFF}',
  '\uD7FF',
  '\uE000',
]

export function randomText(random: Random, from = 0): string {
  let text = ''
  // A third of them ASCII only, because that has a path of its own.
  const known = random.chance(3) ? letters.slice(0, 6) : letters
  for (let length = from + random.below(12); length > 0; length--) text += random.pick(known)
  return text
}

export function randomTopic(random: Random): string {
  return Array.from({ length: 1 + random.below(5) }, () => randomText(random)).join('/') || 't'
}

export function randomFilter(random: Random): string {
  const levels = Array.from({ length: 1 + random.below(4) }, () => (random.chance(3) ? '+' : randomText(random)))
  if (random.chance(3)) levels.push('#')
  const filter = levels.join('/') || '+'
  return random.chance(4) ? `$share/${randomText(random, 1)}/${filter}` : filter
}

export function randomClientPacket(random: Random, version: ProtocolVersion): ClientPacket {
  const packetId = 1 + random.below(65_535)
  const kinds = ['connect', 'publish', 'ack', 'subscribe', 'unsubscribe', 'pingreq', 'disconnect'] as const
  const kind = version === 5 && random.chance(12) ? 'auth' : random.pick(kinds)
  switch (kind) {
    case 'connect':
      return randomConnect(random, version)
    case 'publish':
      return randomPublish(random, version, packetId)
    case 'ack': {
      const type = random.pick(['puback', 'pubrec', 'pubrel', 'pubcomp'] as const)
      const codes = type === 'puback' || type === 'pubrec' ? [0, 0x10, 0x80, 0x87, 0x97] : [0, 0x92]
      return { type, packetId, reasonCode: version === 5 ? random.pick(codes) : 0 }
    }
    case 'subscribe':
      return randomSubscribe(random, version, packetId)
    case 'unsubscribe':
      return {
        type: 'unsubscribe',
        packetId,
        filters: Array.from({ length: 1 + random.below(4) }, () => randomFilter(random)),
      }
    case 'pingreq':
      return { type: 'pingreq' }
    case 'disconnect':
      return {
        type: 'disconnect',
        reasonCode: version === 5 ? random.pick([0, 4, 0x80, 0x93]) : 0,
        sessionExpiryS: version === 5 ? maybe(random, random.below(2 ** 32)) : undefined,
      }
    case 'auth':
      return { type: 'auth', reasonCode: 0x18, method: randomText(random), data: maybe(random, random.bytes(20)) }
  }
}

function randomConnect(random: Random, version: ProtocolVersion): ConnectPacket {
  const username = maybe(random, randomText(random))
  return {
    type: 'connect',
    protocolVersion: version,
    cleanStart: random.chance(),
    keepAlive: random.below(65_536),
    clientId: randomText(random, 1),
    username,
    password: username === undefined ? undefined : maybe(random, random.bytes(30)),
    will: maybe(random, randomWill(random, version)),
    properties: version === 5 ? randomConnectProperties(random) : {},
  }
}

function randomWill(random: Random, version: ProtocolVersion): Will {
  const five = version === 5
  return {
    topic: randomTopic(random),
    payload: random.bytes(40),
    qos: random.below(3) as QoS,
    retain: random.chance(),
    delayS: five && random.chance() ? random.below(2 ** 32) : 0,
    messageExpiryS: five ? maybe(random, random.below(2 ** 32)) : undefined,
    properties: five ? randomMessageProperties(random) : undefined,
  }
}

function randomConnectProperties(random: Random): ConnectProperties {
  return {
    ...(random.chance() && { sessionExpiryS: random.below(2 ** 32) }),
    ...(random.chance() && { receiveMaximum: 1 + random.below(65_535) }),
    ...(random.chance() && { maximumPacketSize: 1 + random.below(2 ** 32 - 1) }),
    ...(random.chance() && { topicAliasMaximum: random.below(65_536) }),
    ...(random.chance() && { requestResponseInformation: random.chance() }),
    ...(random.chance() && { requestProblemInformation: random.chance() }),
    ...(random.chance() && { userProperties: randomUserProperties(random) }),
    ...(random.chance(4) && { authenticationMethod: randomText(random), authenticationData: random.bytes(10) }),
  }
}

export function randomPublish(random: Random, version: ProtocolVersion, packetId: number): PublishPacket {
  const qos = random.below(3) as QoS
  const five = version === 5
  const topicAlias = five && random.chance(4) ? 1 + random.below(65_535) : undefined
  return {
    type: 'publish',
    topic: topicAlias !== undefined && random.chance() ? '' : randomTopic(random),
    payload: random.bytes(random.chance(8) ? 2_000 : 60),
    qos,
    retain: random.chance(),
    dup: qos > 0 && random.chance(),
    packetId: qos === 0 ? 0 : packetId,
    messageExpiryS: five ? maybe(random, random.below(2 ** 32)) : undefined,
    topicAlias,
    subscriptionIds: undefined,
    properties: five ? randomMessageProperties(random) : undefined,
  }
}

export function randomMessageProperties(random: Random): MessageProperties | undefined {
  const properties: MessageProperties = {
    ...(random.chance() && { payloadFormat: random.below(2) as 0 | 1 }),
    ...(random.chance() && { contentType: randomText(random) }),
    ...(random.chance() && { responseTopic: randomTopic(random) }),
    ...(random.chance() && { correlationData: random.bytes(20) }),
    ...(random.chance() && { userProperties: randomUserProperties(random) }),
  }
  return Object.keys(properties).length === 0 ? undefined : properties
}

/** Different names only, and none that looks like a number: mqtt-packet keeps them in an object. */
function randomUserProperties(random: Random): UserProperties {
  return Array.from({ length: 1 + random.below(3) }, (_, index) => [
    `n${index}${randomText(random)}`,
    randomText(random),
  ])
}

function randomSubscribe(random: Random, version: ProtocolVersion, packetId: number): SubscribePacket {
  const five = version === 5
  return {
    type: 'subscribe',
    packetId,
    subscriptionId: five ? maybe(random, 1 + random.below(268_435_455)) : undefined,
    requests: Array.from({ length: 1 + random.below(4) }, () => {
      const filter = randomFilter(random)
      return {
        filter,
        qos: random.below(3) as QoS,
        noLocal: five && !filter.startsWith('$share/') && random.chance(),
        retainAsPublished: five && random.chance(),
        retainHandling: five ? (random.below(3) as 0 | 1 | 2) : 0,
      }
    }),
  }
}

function maybe<T>(random: Random, value: T): T | undefined {
  return random.chance() ? value : undefined
}

/** The bytes of the packet as mqtt-packet writes them. */
export function oracleBytes(packet: ClientPacket, version: ProtocolVersion): Buffer {
  return generate(oraclePacket(packet, version), { protocolVersion: version })
}

function oraclePacket(packet: ClientPacket, version: ProtocolVersion): Packet {
  switch (packet.type) {
    case 'connect':
      return oracleConnect(packet, version)
    case 'publish':
      return oraclePublish(packet)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return { cmd: packet.type, messageId: packet.packetId, reasonCode: packet.reasonCode }
    case 'subscribe':
      return {
        cmd: 'subscribe',
        messageId: packet.packetId,
        subscriptions: packet.requests.map((request) => ({
          topic: request.filter,
          qos: request.qos,
          nl: request.noLocal,
          rap: request.retainAsPublished,
          rh: request.retainHandling,
        })),
        ...(packet.subscriptionId !== undefined && { properties: { subscriptionIdentifier: packet.subscriptionId } }),
      }
    case 'unsubscribe':
      return { cmd: 'unsubscribe', messageId: packet.packetId, unsubscriptions: [...packet.filters] }
    case 'pingreq':
      return { cmd: 'pingreq' }
    case 'disconnect':
      return {
        cmd: 'disconnect',
        reasonCode: packet.reasonCode,
        ...(packet.sessionExpiryS !== undefined && { properties: { sessionExpiryInterval: packet.sessionExpiryS } }),
      }
    case 'auth':
      return {
        cmd: 'auth',
        reasonCode: packet.reasonCode,
        properties: {
          ...(packet.method !== undefined && { authenticationMethod: packet.method }),
          ...(packet.data !== undefined && { authenticationData: packet.data }),
        },
      }
  }
}

function oracleConnect(packet: ConnectPacket, version: ProtocolVersion): IConnectPacket {
  const { sessionExpiryS, userProperties, ...same } = packet.properties
  const { will } = packet
  return {
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    clean: packet.cleanStart,
    keepalive: packet.keepAlive,
    clientId: packet.clientId,
    ...(packet.username !== undefined && { username: packet.username }),
    ...(packet.password !== undefined && { password: packet.password }),
    ...(will !== undefined && {
      will: {
        topic: will.topic,
        payload: will.payload,
        qos: will.qos,
        retain: will.retain,
        ...(version === 5 && {
          properties: {
            ...(will.delayS !== 0 && { willDelayInterval: will.delayS }),
            ...oracleMessageProperties(will.messageExpiryS, will.properties),
          },
        }),
      },
    }),
    ...(version === 5 && {
      properties: {
        ...same,
        ...(sessionExpiryS !== undefined && { sessionExpiryInterval: sessionExpiryS }),
        ...(userProperties !== undefined && { userProperties: Object.fromEntries(userProperties) }),
      },
    }),
  }
}

function oraclePublish(packet: PublishPacket): IPublishPacket {
  return {
    cmd: 'publish',
    topic: packet.topic,
    payload: packet.payload,
    qos: packet.qos,
    retain: packet.retain,
    dup: packet.dup,
    ...(packet.packetId !== 0 && { messageId: packet.packetId }),
    properties: {
      ...(packet.topicAlias !== undefined && { topicAlias: packet.topicAlias }),
      ...oracleMessageProperties(packet.messageExpiryS, packet.properties),
    },
  }
}

function oracleMessageProperties(messageExpiryS: number | undefined, properties: MessageProperties | undefined) {
  const { payloadFormat, contentType, responseTopic, correlationData, userProperties } = properties ?? {}
  return {
    ...(messageExpiryS !== undefined && { messageExpiryInterval: messageExpiryS }),
    ...(payloadFormat !== undefined && { payloadFormatIndicator: payloadFormat === 1 }),
    ...(contentType !== undefined && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData }),
    ...(userProperties !== undefined && { userProperties: Object.fromEntries(userProperties) }),
  }
}
