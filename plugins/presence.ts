// presence: keeps a retained message for each user that says whether any of the user's devices is connected.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type ClientInfo, definePlugin, type PluginBroker } from '../broker/plugin.ts'
import { replaceFile } from '../broker/replace-file.ts'

/** The list of users who are online is written at most so often; a crash in between leaves some shown as online. */
const saveDelayMs = 500

export default definePlugin({
  name: 'presence',
  config: z.strictObject({
    topic: z
      .string()
      .default('im/p/{user}')
      .refine((topic) => topic.includes('{user}'), 'must contain {user}')
      .refine((topic) => !/[+#\0]/.test(topic), 'must not contain "+" or "#"')
      .describe('where it is published, retained; the payload is {"online":true,"since":"2026-01-31T12:00:00.000Z"}'),
    qos: z.literal([0, 1, 2]).default(1),
  }),

  access: () => ({}),
  async setup(broker, { topic, qos }) {
    /** The connections of each user who has any. */
    const online = new Map<string, Set<ClientInfo>>()
    const list = savedList(broker, () => [...online.keys()])

    const tell = (username: string, isOnline: boolean): void => {
      const payload = JSON.stringify({ online: isOnline, since: new Date().toISOString() })
      const message = { topic: topic.replaceAll('{user}', () => username), payload, qos, retain: true }
      broker.publish(message).catch((error: unknown) => {
        broker.log.warn({ username, error: String(error) }, 'presence was not published')
      })
    }

    // Who was online when the broker last ended is not: none of those connections outlived it.
    for (const username of await list.read()) tell(username, false)
    broker.onStop(() => list.save())

    return {
      onConnected(client) {
        const { username } = client.identity
        if (!canStandInTopic(username)) return
        const connections = online.get(username)
        if (connections !== undefined) {
          connections.add(client)
          return
        }
        online.set(username, new Set([client]))
        list.changed()
        tell(username, true)
      },
      onDisconnected(client) {
        const { username } = client.identity
        const connections = online.get(username)
        if (connections === undefined || !connections.delete(client) || connections.size > 0) return
        online.delete(username)
        list.changed()
        tell(username, false)
      },
    }
  },
})

/** Clients without a name of their own have no presence, nor has a name that would reach other topics. */
function canStandInTopic(username: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return username !== '' && username !== 'anonymous' && !/[+#/\u0000-\u001f\u007f-\u009f]|^\$/.test(username)
}

/** A small file with the users who are online, for the next start. */
function savedList(broker: PluginBroker, usernames: () => readonly string[]) {
  const path = join(broker.dataDir, 'online.json')
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()

  async function write(): Promise<void> {
    await replaceFile(path, JSON.stringify(usernames()))
  }

  function save(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    writing = writing.then(write).catch((error: unknown) => {
      broker.log.warn({ path, error: String(error) }, 'list of users online was not written')
    })
    return writing
  }

  return {
    save,
    changed(): void {
      timer ??= setTimeout(() => void save(), saveDelayMs).unref()
    },
    async read(): Promise<string[]> {
      try {
        return z.array(z.string()).parse(JSON.parse(await readFile(path, 'utf8')))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          broker.log.warn({ path, error: String(error) }, 'list of users online cannot be read, it is started anew')
        }
        return []
      }
    },
  }
}
