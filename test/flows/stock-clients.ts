// Stock MQTT clients as the story uses them, whatever they are made of; here with the npm package `mqtt`.
import type { TestContext } from 'node:test'
import type { IClientOptions } from 'mqtt'
import { connectClient } from '../helpers/client.ts'
import { type Name, passwordOf } from './company.ts'

export interface Presence {
  /** What came so far, each as `topic text`. */
  readonly received: readonly string[]
  /** Resolves with the first `count` messages. */
  messages(count: number): Promise<readonly string[]>
  /** Says goodbye; its session waits at the broker. */
  leave(): Promise<void>
}

export interface StockClients {
  /** With a session that outlives the connection, QoS 1. Resolves once all filters are granted. */
  join(name: Name, filters: readonly string[], device?: string): Promise<Presence>
  /** From another device of the same user, QoS 1, one after the other; resolves once all are acknowledged. */
  publish(name: Name, topic: string, texts: readonly string[], retain?: boolean): Promise<void>
  /** The code in SUBACK. */
  subscribeCode(name: Name, filter: string): Promise<number>
  /** The code in PUBACK, or that the connection was closed instead. */
  publishOutcome(name: Name, topic: string): Promise<number | 'closed'>
}

export type Version = 4 | 5

export interface Place {
  readonly url: string
  /** PEM file of the authority that signed the broker's certificate. */
  readonly ca: string
}

export function mqttClients(t: TestContext, { url }: Place, ca: Buffer, version: Version): StockClients {
  const options = (name: Name, device: string): IClientOptions => ({
    clientId: `${name}-${device}`,
    username: name,
    password: passwordOf(name),
    protocolVersion: version,
    ca: [ca],
  })
  const connect = (name: Name, device: string) => connectClient(t, url, options(name, device))
  return {
    async join(name, filters, device = 'phone') {
      const { client, ...one } = await connectClient(t, url, {
        ...options(name, device),
        clean: false,
        ...(version === 5 && { properties: { sessionExpiryInterval: 3_600 } }),
      })
      await client.subscribeAsync([...filters], { qos: 1 })
      return {
        get received() {
          return one.received.map(({ topic, text }) => `${topic} ${text}`)
        },
        messages: async (count) => (await one.messages(count)).map(({ topic, text }) => `${topic} ${text}`),
        leave: () => one.end(),
      }
    },
    async publish(name, topic, texts, retain = false) {
      const { client, end } = await connect(name, 'laptop')
      await Promise.all(texts.map((text) => client.publishAsync(topic, text, { qos: 1, retain })))
      await end()
    },
    async subscribeCode(name, filter) {
      const { client, end } = await connect(name, 'laptop')
      const code = await new Promise<number>((resolve) => {
        client.on('packetreceive', (packet) => {
          if (packet.cmd === 'suback') resolve(Number(packet.granted[0]))
        })
        // What the package makes of a refusal differs from version to version; the packet tells.
        client.subscribe(filter, { qos: 1 }, () => {})
      })
      await end()
      return code
    },
    async publishOutcome(name, topic) {
      const { client, end } = await connect(name, 'laptop')
      const outcome = await new Promise<number | 'closed'>((resolve) => {
        client.on('packetreceive', (packet) => {
          if (packet.cmd === 'puback') resolve(packet.reasonCode ?? 0)
        })
        client.once('close', () => resolve('closed'))
        client.publish(topic, 'not for you', { qos: 1 }, () => {})
      })
      await end(outcome === 'closed')
      return outcome
    },
  }
}
