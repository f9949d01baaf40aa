// Every row of the table of hostile packets against a running broker, over real sockets.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { errorText } from '../../broker/errors.ts'
import { startBroker } from '../helpers/broker.ts'
import { loadHostileRows, runHostileRow } from '../hostile/table.ts'

/** Enough to be quick, few enough for a small machine. */
const atOnce = 16

test('hostile packets: the broker answers each as the table says, and lives', { timeout: 120_000 }, async (t) => {
  const broker = await startBroker(t)
  const port = broker.port()
  const open = async (): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return socket
  }
  const rows = loadHostileRows(join(process.cwd(), 'test/hostile/packets.json'))
  const plays = rows.flatMap((row) => row.versions.map((version) => ({ row, version })))
  t.diagnostic(`${rows.length} rows, ${plays.length} connections`)
  const wrong: string[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < plays.length; index = next++) {
      const { row, version } = plays[index]!
      await runHostileRow(row, version, open, `hostile-${index}`).catch((error: unknown) => {
        wrong.push(`${row.name} (version ${version}): ${errorText(error)}`)
      })
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  assert.deepEqual(wrong, [])
})
