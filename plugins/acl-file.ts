// acl-file: allows and denies topics by the rules of one YAML file. Deny wins over allow; no rule, no access.
import { basename } from 'node:path'
import { z } from 'zod'
import { type ClientInfo, definePlugin, type Identity } from '../broker/plugin.ts'
import { createRights, type Rights, type RulesFile, rulesSchema } from './acl/rules.ts'

interface KnownRights {
  readonly identity: Identity
  readonly rights: Rights
}

/** Rights take some kilobytes and microseconds: those of a client that has not asked for so long are made anew. */
const forgetAfterMs = 30_000

export default definePlugin({
  name: 'acl-file',
  config: z.strictObject({
    rules: z.string().min(1).describe('YAML file, relative to the config file; reloaded when it changes'),
  }),
  files: { rules: rulesSchema },

  setup(broker, _config, { rules }) {
    const name = basename(rules.path)
    const read = (file: RulesFile) => createRights(file, (index) => basename(rules.locate([index])), name)

    let rightsFor = read(rules.value)
    /** Of those who asked lately, and of those who asked before. */
    let known = new WeakMap<ClientInfo, KnownRights>()
    let before = known
    const forgetting = setInterval(() => {
      before = known
      known = new WeakMap()
    }, forgetAfterMs).unref()
    broker.onStop(() => clearInterval(forgetting))

    rules.onChange((changed) => {
      rightsFor = read(changed)
      known = new WeakMap()
      before = known
    })

    function rightsOf(client: ClientInfo): Rights {
      const remembered = known.get(client)
      // Who proves again who it is may come back with other groups.
      if (remembered?.identity === client.identity) return remembered.rights
      const older = before.get(client)
      const kept =
        older?.identity === client.identity ? older : { identity: client.identity, rights: rightsFor(client) }
      known.set(client, kept)
      return kept.rights
    }

    return {
      authorizePublish: (client, { topic, qos, retain }) => rightsOf(client).publish(topic, qos, retain),
      authorizeSubscribe: (client, { filter, qos }) => rightsOf(client).subscribe(filter, qos),
    }
  },
})
