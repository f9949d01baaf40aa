// Real MQTT clients for tests: connected, ended after the test, and their messages collected.
import { connect, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import type { Cleanup, TestBroker } from './broker.ts'

export interface Received {
  readonly topic: string
  readonly text: string
  readonly packet: IPublishPacket
}

export interface TestClient {
  readonly client: MqttClient
  /** Everything that came so far, also before anybody asked. */
  readonly received: readonly Received[]
  /** Resolves with the first `count` messages that came since the connection, in their order. */
  messages(count: number): Promise<readonly Received[]>
  /** Ends with DISCONNECT; `force` cuts the connection instead. */
  end(force?: boolean): Promise<void>
}

/** It does not reconnect by itself. */
export async function connectClient(t: Cleanup, url: string, options: IClientOptions = {}): Promise<TestClient> {
  const received: Received[] = []
  let waiting: (() => void)[] = []
  const client = connect(url, { reconnectPeriod: 0, ...options })
  t.after(() => client.endAsync(true))
  // Before it is connected: what was missed may come in one piece with CONNACK.
  client.on('message', (topic, payload, packet) => {
    received.push({ topic, text: payload.toString(), packet })
    const all = waiting
    waiting = []
    for (const look of all) look()
  })
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve())
    client.once('error', reject)
    client.once('close', () => reject(new Error(`no connection to ${url}`)))
  })
  // A connection that breaks later shows in what does not come; an error without a listener would end the test process.
  client.on('error', () => {})
  return {
    client,
    received,
    async messages(count) {
      while (received.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
      return received.slice(0, count)
    },
    end: (force = false) => client.endAsync(force),
  }
}

export function texts(received: readonly { readonly text: string }[]): string[] {
  return received.map(({ text }) => text)
}

/** All at once; resolves when each is acknowledged. */
export async function publishAll(sender: TestClient, topic: string, payloads: readonly string[]): Promise<void> {
  await Promise.all(payloads.map((payload) => sender.client.publishAsync(topic, payload, { qos: 1 })))
}

/** A persistent session that is away. */
export async function leaveSession(
  t: Cleanup,
  node: Pick<TestBroker, 'url'>,
  clientId: string,
  filter: string,
): Promise<void> {
  const away = await connectClient(t, node.url(), { clientId, clean: false })
  await away.client.subscribeAsync(filter, { qos: 1 })
  await away.end()
}
