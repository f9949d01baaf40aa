// A process of its own that writes to a level store until it is killed, and tells on stdout what was committed.
import { createLevelStore } from '../../broker/store/level.ts'
import { messageOf, recordLog, subscriptionOf, testLimits } from './store.ts'

/** Committed a moment after this many are waiting, as many publishers together would. */
const window = 100

const path = process.argv[2]
if (path === undefined) throw new Error('usage: store-child.js FOLDER')
const limits = { ...testLimits, queueMessages: 1_000_000, queueBytes: 1_000_000_000 }
const store = createLevelStore({ path, durability: 'disk', limits, log: recordLog() })
await store.open()
process.stdout.write(`open ${store.lastSequence}\n`)

let waiting = 0
let count = 0

function fill(): void {
  while (waiting < window) {
    count += 1
    waiting += 1
    writeOne(count)
  }
}

/** A message in two streams; a session, a subscription, a retained message and a cursor beside it now and then. */
function writeOne(n: number): void {
  const sequence = store.append(messageOf('a/b', `message ${n}`), ['a/#', n % 2 === 0 ? 'even' : 'odd'])
  if (n % 50 === 0) {
    const clientId = `client ${n}`
    store.putSession({ clientId, username: 'u', expiryS: 1, disconnectedAt: undefined, createdAt: n })
    store.putSubscription(clientId, subscriptionOf('a/#', { since: sequence }))
    store.putCursor(clientId, { position: sequence, done: [], inflight: [] })
    store.putRetained(messageOf(`retained/${n}`, `${n}`))
  }
  store.commit((error) => {
    if (error !== undefined) throw error
    waiting -= 1
    process.stdout.write(`${n} ${sequence}\n`)
    if (waiting <= window / 2) fill()
  })
}

fill()
