// What a change of files means for those who are connected: which of their subscriptions end, and who has to go.
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AccessBook } from './access-book.ts'
import type { LiveClient } from './engine/engine.ts'

const turnMs = 4

/** `isConcerned`: whose rights may differ at all. One line for each kind of end; none when nothing ends. */
export async function endings(
  before: AccessBook,
  after: AccessBook,
  clients: Iterable<LiveClient>,
  isConcerned: (username: string) => boolean,
): Promise<readonly string[]> {
  let ended = 0
  let disconnected = 0
  let turn = performance.now()
  for (const { info, proven, filters } of clients) {
    const { username } = info.identity
    if (!isConcerned(username)) continue
    if (before.user(username) !== undefined && after.user(username) === undefined) {
      disconnected += 1
      continue
    }
    const earlier = { ...info, identity: before.user(username) ?? before.identify(proven) }
    const client = { ...info, identity: after.user(username) ?? after.identify(proven) }
    for (const { filter, qos } of filters()) {
      if (after.maySubscribe(client, filter, qos) !== false) continue
      // One that is to end already for an earlier change is not counted again.
      if (before.maySubscribe(earlier, filter, qos) !== false) ended += 1
    }
    if (performance.now() - turn < turnMs) continue
    await nextTurn()
    turn = performance.now()
  }
  return [
    ...(ended === 0 ? [] : [ended === 1 ? '1 live subscription ends' : `${ended} live subscriptions end`]),
    ...(disconnected === 0 ? [] : [disconnected === 1 ? '1 connection ends' : `${disconnected} connections end`]),
  ]
}
