// Sends clients to other nodes, a few at a time, so that those who take them are not flooded.
import { setTimeout as wait } from 'node:timers/promises'
import type { Connection } from '../protocol/connection.ts'

const turnMs = 50
/** Whoever is told to go has this long to read it; then its stream is closed. */
const lingerMs = 2_000

export interface Leaving {
  /** Clients that are connected; read anew each time. */
  connections(): Iterable<Connection>
  /** How many are open, before their CONNECT and while they read the last bytes, too. */
  open(): number
  sendOne(connection: Connection): void
}

/** `perS`: so many clients a second. Resolves with how many were sent away; early when the signal says stop. */
export async function sendAway(
  { connections, open, sendOne }: Leaving,
  perS: number,
  signal: AbortSignal,
): Promise<number> {
  let sent = 0
  let owed = 1
  let lastAt = performance.now()
  const rest = async (): Promise<boolean> => {
    await wait(turnMs, undefined, { signal }).catch(() => {})
    return !signal.aborted
  }
  do {
    const now = performance.now()
    owed += ((now - lastAt) / 1000) * perS
    lastAt = now
    for (const connection of connections()) {
      if (owed < 1) break
      sendOne(connection)
      owed -= 1
      sent += 1
    }
    if (isEmpty(connections())) break
  } while (await rest())
  const endsAt = performance.now() + lingerMs
  while (open() > 0 && performance.now() < endsAt && (await rest()));
  return sent
}

function isEmpty(connections: Iterable<Connection>): boolean {
  for (const _ of connections) return false
  return true
}
