// Who sends without a pause takes turns with the others: a connection is served for some milliseconds, and then again
// when all other sockets have been looked at.

export interface Turn {
  takeTurn(): void
}

/**
 * What those who send much may take together before the other sockets are looked at. A fan-out to 500 receivers fills
 * its receivers' writes in this time; with 2 ms it would write four times as often.
 */
const roundMs = 10
/** When many send much, each has at least this much, so that going round costs little. */
const leastMs = 1

let waiting: Turn[] = []
let isScheduled = false
/** In milliseconds since 1970; 0: nobody has taken much since all sockets were looked at. */
let roundStartedAt = 0

/** False: who is being served since `startedAt`, in milliseconds since 1970, shall wait for its next turn. */
export function hasTurn(startedAt: number): boolean {
  const now = Date.now()
  if (roundStartedAt === 0) {
    roundStartedAt = startedAt
    schedule()
  }
  return now - roundStartedAt < roundMs || now - startedAt < leastMs
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
  roundStartedAt = Date.now()
  let served = 0
  while (served < round.length && Date.now() - roundStartedAt < roundMs) {
    served += 1
    round[served - 1]!.takeTurn()
  }
  roundStartedAt = 0
  if (served < round.length) waiting = [...round.slice(served), ...waiting]
  if (waiting.length > 0) schedule()
}
