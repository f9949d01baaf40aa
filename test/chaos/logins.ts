// Wrong passwords in a flood, for users and for names that are none: whoever has the right one is let in at once.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { hashPassword } from '../../broker/password.ts'
import { type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { writeFiles } from '../helpers/plugins.ts'
import { tryConnect } from '../helpers/raw-client.ts'
import type { FlooderOptions, FlooderReport } from './login-flooder.ts'

export interface LoginsOptions {
  readonly badPerS: number
  readonly seconds: number
}

export interface LoginsReport {
  readonly bad: number
  readonly good: number
  /** Of a good login: without the flood, and the slowest in it. */
  readonly aloneMs: number
  readonly slowestMs: number
}

/**
 * The flood may add so much to a good login: a second, on a machine that hashes a password in 50 ms; on one that is busy
 * with other things as many times longer as a login without the flood takes.
 */
const moreMaxMs = 1_000
const moreMaxLogins = 20
/** Half of them are guessed. The others log in, each once: nothing of them was proved, or tried, before. */
const users = 30

/** Throws AssertionError when a good login was refused or had to wait. */
export async function loginsRun(t: Cleanup, { badPerS, seconds }: LoginsOptions): Promise<LoginsReport> {
  const names = Array.from({ length: users }, (_, index) => `user${index}`)
  const { port, logIn } = await startHouse(t, [...names, 'alone'])
  const alone = await logIn('alone', 'right alone')
  assert.equal(alone.code, 0)

  const guessed = names.slice(0, users / 2)
  const fresh = names.slice(users / 2)
  const workerData: FlooderOptions = { port, badPerS, seconds, guessed }
  const flooder = new Worker(new URL('./login-flooder.js', import.meta.url), { workerData })
  t.after(() => flooder.terminate())
  const flood = once(flooder, 'message') as Promise<[FlooderReport]>
  const answers: Awaited<ReturnType<typeof logIn>>[] = []
  for (const name of fresh) {
    // Spread over the flood: what is measured is what each of them waits.
    await new Promise((resolve) => setTimeout(resolve, (seconds * 1_000) / fresh.length / 2))
    answers.push(await logIn(name, `right ${name}`))
  }
  const [{ bad, accepted }] = await flood
  assert.equal(accepted, 0)
  assert.ok(
    answers.every(({ code }) => code === 0),
    JSON.stringify(answers),
  )
  const slowestMs = Math.max(...answers.map(({ ms }) => ms))
  const report = { bad, good: answers.length, aloneMs: alone.ms, slowestMs }
  assert.ok(slowestMs < alone.ms + Math.max(moreMaxMs, moreMaxLogins * alone.ms), JSON.stringify(report))
  return report
}

type LogIn = (username: string, password: string) => Promise<{ readonly code: number; readonly ms: number }>

async function startHouse(t: Cleanup, names: readonly string[]): Promise<{ port: number; logIn: LogIn }> {
  const folder = await temporaryFolder(t)
  const lines = await Promise.all(names.map(async (name) => `${name}: "${await hashPassword(`right ${name}`)}"\n`))
  await writeFiles(folder, { 'users.yaml': lines.join(''), 'oriole.yaml': config })
  const broker = await spawnBroker(t, join(folder, 'oriole.yaml'), folder)
  const port = Number(new URL(broker.urls[0]!).port)
  const logIn: LogIn = async (username, password) => {
    const startedAt = performance.now()
    const clientId = `${username} ${Math.random()}`
    const { client, code } = await tryConnect(t, port, { clientId, username, password: Buffer.from(password) })
    client.socket.destroy()
    return { code, ms: Math.round(performance.now() - startedAt) }
  }
  return { port, logIn }
}

const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
log: { format: json }
# Both sides share the machine.
limits: { loopDelayMs: 0 }
plugins: [auth-file: { users: users.yaml, admin: false }]
`
