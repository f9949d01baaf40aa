// acl-file: allows and denies topics by the rules of one YAML file. Deny wins over allow; no rule, no access.
import { basename } from 'node:path'
import { z } from 'zod'
import { type ClientInfo, definePlugin, type Identity, type PluginFile } from '../broker/plugin.ts'
import { accessOf } from './acl/access.ts'
import type { Rights } from './acl/client-rights.ts'
import { bookOf, type RuleBook } from './acl/rule-book.ts'
import { type RulesFile, rulesSchema } from './acl/rules-file.ts'

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
  secretFiles: ['rules'],
  filledFiles: ['rules'],
  access: (_config, { rules }) => accessOf(rules.value, bookOfFile(rules)),

  setup(broker, _config, { rules }) {
    let book = bookOfFile(rules)
    /** Of those who asked lately, and of those who asked before. */
    let known = new WeakMap<ClientInfo, KnownRights>()
    let before = known
    const forget = () => {
      known = new WeakMap()
      before = known
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

    function rightsOf(client: ClientInfo): Rights {
      const remembered = known.get(client)
      // Who proves again who it is may come back with other groups.
      if (remembered?.identity === client.identity) return remembered.rights
      const older = before.get(client)
      const kept =
        older?.identity === client.identity
          ? older
          : { identity: client.identity, rights: book.rightsOf(client, Date.now()) }
      known.set(client, kept)
      return kept.rights
    }

    return {
      authorizePublish: (client, { topic, qos, retain }) => rightsOf(client).publish(topic, qos, retain),
      authorizeSubscribe: (client, { filter, qos }) => rightsOf(client).subscribe(filter, qos),
    }
  },
})

function bookOfFile(rules: PluginFile<RulesFile>): RuleBook {
  return bookOf(rules.value, (index) => basename(rules.locate([index])), basename(rules.path))
}
