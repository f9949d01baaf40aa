// A plugin whose users, groups and rules a test changes while the broker runs, and asks the broker to ask again.
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import {
  type ClientInfo,
  definePlugin,
  type Hooks,
  type Identity,
  type PluginBroker,
  type PublishQuestion,
  type RightsChange,
  type SubscribeDecision,
  type SubscribeQuestion,
} from '../../broker/plugin.ts'

type Answer<T> = T | Promise<T>

/** What the plugin answers; a test replaces what it likes. Everybody is let in and may do everything until then. */
export class HouseRules {
  /** By username; who is not here is unknown. Undefined: everybody is known, and in no group. */
  users: ReadonlyMap<string, Partial<Omit<Identity, 'username'>>> | undefined
  /** Added by `identify`. */
  groups: ReadonlyMap<string, readonly string[]> = new Map()
  subscribe: (client: ClientInfo, question: SubscribeQuestion) => Answer<boolean | Omit<SubscribeDecision, 'because'>> =
    () => true
  publish: (client: ClientInfo, question: PublishQuestion) => Answer<boolean> = () => true
  /** Instead of what `users` says. */
  authenticate: Hooks['authenticate'] | undefined
  identify: Hooks['identify'] | undefined
  exchange: Hooks['authenticateExchange'] = () => undefined
  broker!: PluginBroker

  /** As a plugin does after a change. */
  changed(affects?: (client: ClientInfo) => boolean): Promise<RightsChange> {
    return this.broker.rightsChanged(affects)
  }

  identityOf(username: string): Identity | undefined {
    const known = this.users === undefined ? {} : this.users.get(username)
    return known && { username, groups: [], roles: [], attributes: {}, ...known }
  }
}

const houses = new Map<string, HouseRules>()
let made = 0

/** The entry of `plugins:` that obeys these rules. */
export function pluginEntry(rules: HouseRules): string {
  made += 1
  houses.set(String(made), rules)
  return `{ ${JSON.stringify(fileURLToPath(import.meta.url))}: { rules: "${made}" } }`
}

export default definePlugin({
  name: 'house-rules',
  config: z.strictObject({ rules: z.string() }),
  setup(broker, config) {
    const rules = houses.get(config.rules)!
    rules.broker = broker
    return {
      authenticate(credentials) {
        if (rules.authenticate !== undefined) return rules.authenticate(credentials)
        const { username, clientId } = credentials
        const identity = rules.identityOf(username ?? clientId)
        return identity === undefined ? { deny: 'unknown user' } : { identity }
      },
      confirm({ username }) {
        const identity = rules.identityOf(username)
        return identity === undefined ? { deny: 'unknown user' } : { identity }
      },
      authenticateExchange: (step) => rules.exchange(step),
      identify(identity, credentials) {
        if (rules.identify !== undefined) return rules.identify(identity, credentials)
        const more = rules.groups.get(identity.username)
        return more === undefined ? identity : { ...identity, groups: [...identity.groups, ...more] }
      },
      async authorizeSubscribe(client, question) {
        const answer = await rules.subscribe(client, question)
        return typeof answer === 'boolean' ? { allow: answer, because: 'test' } : { ...answer, because: 'test' }
      },
      async authorizePublish(client, question) {
        return { allow: await rules.publish(client, question), because: 'test' }
      },
    }
  },
})
