// Wrong passwords in a flood, for users and for names that are none: whoever has the right one is let in at once.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { hashPassword } from '../../broker/password.ts'
import { type Cleanup, spawnBroker, temporaryFolder } from '../helpers/broker.ts'
import { writeFiles } from '../helpers/plugins.ts'
import { tryConnect } from '../helpers/raw-client.ts'

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

/** The flood may add so much to a good login. */
const moreMaxMs = 1_000
/** Half of them are guessed. The others log in, each once: nothing of them was proved, or tried, before. */
const users = 30

/** Throws AssertionError when a good login was refused or had to wait. */
export async function loginsRun(t: Cleanup, { badPerS, seconds }: LoginsOptions): Promise<LoginsReport> {
  const names = Array.from({ length: users }, (_, index) => `user${index}`)
  const logIn = await startHouse(t, [...names, 'alone'])
  const alone = await logIn('alone', 'right alone')
  assert.equal(alone.code, 0)

  const guessed = names.slice(0, users / 2)
  const fresh = names.slice(users / 2)
  const bad: Promise<{ code: number }>[] = []
  const good: ReturnType<typeof logIn>[] = []
  const startedAt = performance.now()
  for (let elapsedS = 0; elapsedS < seconds; elapsedS = (performance.now() - startedAt) / 1_000) {
    while (bad.length < elapsedS * badPerS) {
      const name = bad.length % 2 === 0 ? `nobody${bad.length}` : guessed[bad.length % guessed.length]!
      bad.push(logIn(name, `guess ${bad.length}`))
    }
    const next = fresh[good.length]
    if (next !== undefined && elapsedS > (good.length + 1) * (seconds / (fresh.length + 1))) {
      good.push(logIn(next, `right ${next}`))
    }
    // The other side has its turn; how many are due is counted anew.
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const answers = await Promise.all(good)
  assert.ok((await Promise.all(bad)).every(({ code }) => code !== 0))
  assert.ok(
    answers.every(({ code }) => code === 0),
    JSON.stringify(answers),
  )
  const slowestMs = Math.max(...answers.map(({ ms }) => ms))
  const report = { bad: bad.length, good: good.length, aloneMs: alone.ms, slowestMs }
  assert.ok(slowestMs < alone.ms + moreMaxMs, JSON.stringify(report))
  return report
}

type LogIn = (username: string, password: string) => Promise<{ readonly code: number; readonly ms: number }>

async function startHouse(t: Cleanup, names: readonly string[]): Promise<LogIn> {
  const folder = await temporaryFolder(t)
  const lines = await Promise.all(names.map(async (name) => `${name}: "${await hashPassword(`right ${name}`)}"\n`))
  await writeFiles(folder, { 'users.yaml': lines.join(''), 'oriole.yaml': config })
  const broker = await spawnBroker(t, join(folder, 'oriole.yaml'), folder)
  const port = Number(new URL(broker.urls[0]!).port)
  return async (username, password) => {
    const startedAt = performance.now()
    const clientId = `${username} ${Math.random()}`
    const { client, code } = await tryConnect(t, port, { clientId, username, password: Buffer.from(password) })
    client.socket.destroy()
    return { code, ms: Math.round(performance.now() - startedAt) }
  }
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
