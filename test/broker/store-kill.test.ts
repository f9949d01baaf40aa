// kill -9 at a random moment: what the store reported as committed is there afterwards.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createLevelStore } from '../../broker/store/level.ts'
import { makeFolder, randomOf, readAll, recordLog, testLimits } from '../helpers/store.ts'

const child = fileURLToPath(new URL('../helpers/store-child.js', import.meta.url))
const runs = 4

test('level store: nothing that was committed is lost by kill -9', { timeout: 60_000 }, async (t) => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.diagnostic(`SEED=${seed}`)
  const random = randomOf(seed)
  const path = await makeFolder(t)
  let total = 0
  let highest = 0
  for (let run = 0; run < runs; run += 1) {
    const committed = await writeUntilKilled(t, path, 1 + random(5_000))
    assert.ok(committed.openedAt >= highest, 'a sequence number was given twice')
    await check(path, committed.sequences)
    total += committed.sequences.size
    highest = Math.max(...committed.sequences.values())
  }
  t.diagnostic(`${total} commits, none lost`)
})

interface Committed {
  readonly openedAt: number
  /** Number of the message to its sequence number. */
  readonly sequences: Map<number, number>
}

/** Kills the process when it has reported so many commits; what it still reports counts as well. */
async function writeUntilKilled(t: TestContext, path: string, count: number): Promise<Committed> {
  const writer = spawn(process.execPath, [child, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => writer.kill('SIGKILL'))
  const sequences = new Map<number, number>()
  let openedAt = -1
  for await (const line of createInterface({ input: writer.stdout })) {
    // The last line may be cut off by the kill.
    const [name, sequence] = line.split(' ')
    if (name === 'open') openedAt = Number(sequence)
    else if (sequence !== undefined && sequences.size < count) sequences.set(Number(name), Number(sequence))
    if (sequences.size === count) writer.kill('SIGKILL')
  }
  assert.equal(sequences.size, count)
  return { openedAt, sequences }
}

async function check(path: string, sequences: ReadonlyMap<number, number>): Promise<void> {
  const limits = { ...testLimits, queueMessages: 1_000_000, queueBytes: 1_000_000_000 }
  const log = recordLog()
  const store = createLevelStore({ path, durability: 'disk', limits, log })
  const { sessions } = await store.open()
  try {
    const kept = new Map([...sessions].map((session) => [session.session.clientId, session]))
    const { payloads, sequences: order } = await readAll(store, [{ stream: 'a/#', after: 0 }], 1_000)
    const read = new Map(order.map((sequence, index) => [sequence, payloads[index]]))
    const last = store.lastSequence
    for (const [n, sequence] of sequences) {
      assert.equal(read.get(sequence), `message ${n}`)
      if (n % 50 !== 0) continue
      const session = kept.get(`client ${n}`)
      assert.equal(session?.subscriptions[0]?.filter, 'a/#')
      assert.ok((session?.cursor?.position ?? 0) <= last)
      assert.equal(store.getRetained(`retained/${n}`)?.payload?.toString(), `${n}`)
    }
    assert.deepEqual(log.errors, [])
    store.trim('a/#', last)
    store.trim('even', last)
    store.trim('odd', last)
  } finally {
    await store.close()
  }
}
