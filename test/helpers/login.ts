// A login with a stock MQTT client: what the broker answered.
import { connect, type IClientOptions } from 'mqtt'
import type { Cleanup } from './broker.ts'

/** The code of CONNACK; 0: welcome. The client is gone afterwards. Rejects when there was no CONNACK. */
export async function tryLogin(t: Cleanup, url: string, options: IClientOptions): Promise<number> {
  const client = connect(url, { reconnectPeriod: 0, protocolVersion: 5, ...options })
  t.after(() => client.endAsync(true))
  const code = await new Promise<number>((resolve, reject) => {
    client.once('connect', ({ reasonCode, returnCode }) => resolve(reasonCode ?? returnCode ?? 0))
    client.once('error', (error) => {
      const { code } = error as Error & { code?: unknown }
      if (typeof code === 'number') resolve(code)
      else reject(error)
    })
    client.once('close', () => reject(new Error('closed without CONNACK')))
  })
  client.on('error', () => {})
  await client.endAsync(true)
  return code
}
