// acl-file: allows and denies topics by the rules of one YAML file. Deny wins over allow; no rule, no access.
import { basename } from 'node:path'
import { z } from 'zod'
import { type ClientInfo, definePlugin, type Identity, type PluginFile } from '../broker/plugin.ts'
import { accessOf } from './acl/access.ts'
import type { Rights } from './acl/client-rights.ts'
import { bookOf, type RuleBook } from './acl/rule-book.ts'
import { type RulesFile, rulesSchema } from './acl/rules-file.ts'

interface KnownRights {
  readonly client: ClientInfo
  readonly identity: Identity
  readonly rights: Rights
}

/** Rights take some kilobytes and microseconds: those of a publisher that has not asked for so long are made anew. */
const forgetAfterMs = 30_000
/** A client asks for its filters one after the other, and then for none: so many clients may do it at once. */
const askingMax = 16

export default definePlugin({
  name: 'acl-file',
  config: z.strictObject({
    rules: z.string().min(1).describe('YAML file, relative to the config file; reloaded when it changes'),
  }),
  files: { rules: rulesSchema },
  secretFiles: ['rules'],
  filledFiles: ['rules'],
  access: (_config, { rules }) => accessOf(rules.value, bookOfFile(rules)),

  setup(broker, _config, { rules }) {
    let book = bookOfFile(rules)
    /** Of those who published lately, and of those who did before. */
    let known = new WeakMap<ClientInfo, KnownRights>()
    let before = known
    /**
     * Of those who subscribed last, each in the place of the oldest. No Map: one that has grown or was cleared leaves
     * tables that keep what was in them until the old generation is collected, 4 kB for each connection.
     */
    const asking: (KnownRights | undefined)[] = new Array(askingMax).fill(undefined)
    let asked = 0
    const forget = () => {
      known = new WeakMap()
      before = known
      asking.fill(undefined)
    }
    const forgetting = setInterval(() => {
      before = known
      known = new WeakMap()
    }, forgetAfterMs).unref()
    broker.onStop(() => clearInterval(forgetting))

    let open = book.openAt(Date.now())
    let clock: NodeJS.Timeout | undefined
    broker.onStop(() => clearTimeout(clock))
    /** Looks when a time window may open or close. */
    const watchClock = () => {
      clearTimeout(clock)
      const now = Date.now()
      clock = setTimeout(lookAtClock, book.nextLookMs(now) - now).unref()
    }
    const lookAtClock = () => {
      const now = book.openAt(Date.now())
      if (now !== open) {
        open = now
        forget()
        void broker.rightsChanged()
      }
      watchClock()
    }
    watchClock()

    rules.onChange(() => {
      book = bookOfFile(rules)
      open = book.openAt(Date.now())
      forget()
      watchClock()
      void broker.rightsChanged()
    })

    function rightsToPublish(client: ClientInfo): Rights {
      const remembered = known.get(client)
      // Who proves again who it is may come back with other groups.
      if (remembered?.identity === client.identity) return remembered.rights
      const kept = found(client) ?? made(client)
      known.set(client, kept)
      return kept.rights
    }

    function rightsToSubscribe(client: ClientInfo): Rights {
      const remembered = found(client)
      if (remembered !== undefined) return remembered.rights
      const kept = made(client)
      asking[asked] = kept
      asked = (asked + 1) % askingMax
      return kept.rights
    }

    function found(client: ClientInfo): KnownRights | undefined {
      const { identity } = client
      for (const place of [known, before]) {
        const kept = place.get(client)
        if (kept?.identity === identity) return kept
      }
      return asking.find((kept) => kept?.client === client && kept.identity === identity)
    }

    function made(client: ClientInfo): KnownRights {
      return { client, identity: client.identity, rights: book.rightsOf(client, Date.now()) }
    }

    return {
      authorizePublish: (client, { topic, qos, retain }) => rightsToPublish(client).publish(topic, qos, retain),
      authorizeSubscribe: (client, { filter, qos }) => rightsToSubscribe(client).subscribe(filter, qos),
    }
  },
})

function bookOfFile(rules: PluginFile<RulesFile>): RuleBook {
  return bookOf(rules.value, (index) => basename(rules.locate([index])), basename(rules.path))
}
