// Of each shared group that matches, the member that gets the message (MQTT 5.0, 4.8.2).
import type { Subscription } from '../delivery/subscription.ts'
import type { Message } from '../message.ts'
import type { Route } from '../router/router.ts'

/** Undefined: no group has anybody for it. */
export function pickShared(routes: readonly Route<Subscription>[], message: Message): Subscription[] | undefined {
  let picked: Subscription[] | undefined
  for (const { groups } of routes) {
    if (groups === undefined) continue
    for (const group of groups.values()) {
      const member = group.pick(message)
      if (member === undefined) continue
      picked ??= []
      picked.push(member)
    }
  }
  return picked
}
