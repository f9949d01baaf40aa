// acl-file: allows and denies topics by the rules of one YAML file. Deny wins over allow; no rule, no access.
import { basename } from 'node:path'
import { z } from 'zod'
import { type ClientInfo, definePlugin, type Identity } from '../broker/plugin.ts'
import { createRights, type Rights, type RulesFile, rulesSchema } from './acl/rules.ts'

export default definePlugin({
  name: 'acl-file',
  config: z.strictObject({
    rules: z.string().min(1).describe('YAML file, relative to the config file; reloaded when it changes'),
  }),
  files: { rules: rulesSchema },

  setup(_broker, _config, { rules }) {
    const name = basename(rules.path)
    const read = (file: RulesFile) => createRights(file, (index) => basename(rules.locate([index])), name)

    let rightsFor = read(rules.value)
    let known = new WeakMap<ClientInfo, { readonly identity: Identity; readonly rights: Rights }>()

    rules.onChange((changed) => {
      rightsFor = read(changed)
      known = new WeakMap()
    })

    function rightsOf(client: ClientInfo): Rights {
      const remembered = known.get(client)
      // Who proves again who it is may come back with other groups.
      if (remembered?.identity === client.identity) return remembered.rights
      const rights = rightsFor(client)
      known.set(client, { identity: client.identity, rights })
      return rights
    }

    return {
      authorizePublish: (client, { topic, qos, retain }) => rightsOf(client).publish(topic, qos, retain),
      authorizeSubscribe: (client, { filter, qos }) => rightsOf(client).subscribe(filter, qos),
    }
  },
})
