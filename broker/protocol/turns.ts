// Who sends without a pause takes turns with the others: a connection is served for some milliseconds, and then again
// when all other sockets have been looked at.

export interface Turn {
  takeTurn(): void
}

/**
 * What those who send much may take together before the other sockets are looked at. A message passes several such
 * rounds on its way through the commit to its receiver, so that with 10 ms others wait for 100 ms.
 */
const roundMs = 3
/** While one client alone publishes, nobody waits, and its fan-out to 500 receivers fills their writes in this time. */
const roundAloneMs = 10
const aloneAfterMs = 1_000
/** When many send much, each has at least this much, so that going round costs little. */
const leastMs = 1

let waiting: Turn[] = []
let isScheduled = false
/** In milliseconds since 1970; 0: nobody has taken much since all sockets were looked at. */
let roundStartedAt = 0
let lastPublisher: Turn | undefined
/** When it was another one who published than before, in milliseconds since 1970. */
let changedAt = 0

/** Called for each message that a client publishes. */
export function notePublisher(turn: Turn): void {
  if (turn === lastPublisher) return
  lastPublisher = turn
  changedAt = Date.now()
}

/** False: who is being served since `startedAt`, in milliseconds since 1970, shall wait for its next turn. */
export function hasTurn(startedAt: number): boolean {
  const now = Date.now()
  if (roundStartedAt === 0) {
    roundStartedAt = startedAt
    schedule()
  }
  return now - roundStartedAt < lengthMs(now) || now - startedAt < leastMs
}

function lengthMs(now: number): number {
  return now - changedAt < aloneAfterMs ? roundMs : roundAloneMs
}

/** `takeTurn` is called when all sockets that have something were read. Each waits once. */
export function nextTurn(turn: Turn): void {
  waiting.push(turn)
  schedule()
}

function schedule(): void {
  if (isScheduled) return
  isScheduled = true
  setImmediate(serveRound)
}

/** Those for whom there is no time in this round are the first of the next one. */
function serveRound(): void {
  isScheduled = false
  const round = waiting
  waiting = []
  let served = 0
  const startedAt = Date.now()
  const lastsMs = lengthMs(startedAt)
  roundStartedAt = startedAt
  while (served < round.length && Date.now() - startedAt < lastsMs) {
    served += 1
    round[served - 1]!.takeTurn()
  }
  roundStartedAt = 0
  if (served < round.length) waiting = [...round.slice(served), ...waiting]
  if (waiting.length > 0) schedule()
}
