// acl-open: everyone may publish and subscribe everywhere, `$SYS` left out. For tests and for trusted networks.
import { z } from 'zod'
import { type Decision, definePlugin } from '../broker/plugin.ts'

const open: Decision = Object.freeze({ allow: true, because: 'acl-open: everything is allowed' })
const openSys: Decision = Object.freeze({ allow: true, because: 'acl-open: sys is true' })
const closedSys: Decision = Object.freeze({ allow: false, because: 'acl-open: $SYS needs `sys: true`' })
const brokerOnly: Decision = Object.freeze({ allow: false, because: 'acl-open: only the broker publishes to $SYS' })

export default definePlugin({
  name: 'acl-open',
  config: z.strictObject({
    sys: z.boolean().default(false).describe('also allow to subscribe to $SYS'),
  }),
  access: ({ sys }) => ({
    explain: (_client, { action, topic }) => (action === 'publish' ? mayPublish(topic) : maySubscribe(topic, sys)),
  }),
  setup(_, { sys }) {
    return {
      authorizePublish: (_client, { topic }) => mayPublish(topic),
      authorizeSubscribe: (_client, { filter }) => maySubscribe(filter, sys),
    }
  },
})

function mayPublish(topic: string): Decision {
  return isSys(topic) ? brokerOnly : open
}

function maySubscribe(filter: string, sys: boolean): Decision {
  if (!isSys(filter)) return open
  return sys ? openSys : closedSys
}

/** A filter that begins with a wildcard never matches `$SYS` [MQTT-4.7.2-1], so its first level tells. */
function isSys(topicOrFilter: string): boolean {
  return topicOrFilter === '$SYS' || topicOrFilter.startsWith('$SYS/')
}
