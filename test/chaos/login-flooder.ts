// A thread of its own that tries wrong passwords, so that who measures the good logins is not kept waiting by it.
import { parentPort, workerData } from 'node:worker_threads'
import { tryConnect } from '../helpers/raw-client.ts'

export interface FlooderOptions {
  readonly port: number
  readonly badPerS: number
  readonly seconds: number
  /** Half of the logins are for these, the others for names that are none. */
  readonly guessed: readonly string[]
}

/** What it tells at its end. */
export interface FlooderReport {
  readonly bad: number
  readonly accepted: number
}

const { port, badPerS, seconds, guessed } = workerData as FlooderOptions
const unused = { after() {} }

async function tryOne(index: number): Promise<number> {
  const username = index % 2 === 0 ? `nobody${index}` : guessed[index % guessed.length]!
  const password = Buffer.from(`guess ${index}`)
  const { client, code } = await tryConnect(unused, port, { clientId: `${username} ${index}`, username, password })
  client.socket.destroy()
  return code
}

const tries: Promise<number>[] = []
const startedAt = performance.now()
for (let elapsedS = 0; elapsedS < seconds; elapsedS = (performance.now() - startedAt) / 1_000) {
  while (tries.length < elapsedS * badPerS) tries.push(tryOne(tries.length))
  // The sockets have their turn; how many are due is counted anew.
  await new Promise((resolve) => setTimeout(resolve, 2))
}
const codes = await Promise.all(tries)
const report: FlooderReport = { bad: codes.length, accepted: codes.filter((code) => code === 0).length }
parentPort?.postMessage(report)
