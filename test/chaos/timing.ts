// Wrong passwords for users and devices that exist and for names that do not: the time of the answer must not tell which.
import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { generate } from 'mqtt-packet'
import { pino } from 'pino'
import { startOriole } from '../../broker/main.ts'
import { hashPassword, makeToken } from '../../broker/password.ts'
import { type Cleanup, temporaryFolder } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'

const kinds = ['user', 'device', 'unknown'] as const
type Kind = (typeof kinds)[number]

/** How far the medians may lie apart. */
const differenceMax = 0.05

export interface TimingReport {
  readonly samples: number
  readonly medianMs: Readonly<Record<Kind, number>>
  /** Of the medians, the largest against the smallest. */
  readonly difference: number
}

/**
 * One login after the other, of a random kind each. A machine that is busy with other things shifts medians; then it is
 * measured on, up to `more` times as much, and the samples are added: a real difference stays.
 */
export async function timingRun(t: Cleanup, random: Random, logins: number, more: number): Promise<TimingReport> {
  const port = await startHouse(t)
  const taken: Record<Kind, number[]> = { user: [], device: [], unknown: [] }
  let report: TimingReport
  do {
    for (let login = 0; login < logins; login += 1) {
      const kind = random.pick(kinds)
      const username = kind === 'unknown' ? `nobody-${random.below(1_000_000)}` : `${kind}-${random.below(10)}`
      const password = kind === 'device' ? makeToken().token : `guess ${random.below(1_000_000_000)}`
      taken[kind].push(await refusedAfterMs(port, username, password))
    }
    report = reportOf(taken)
  } while (report.difference >= differenceMax && report.samples < logins * more)
  assert.ok(report.difference < differenceMax, JSON.stringify(report))
  return report
}

async function startHouse(t: Cleanup): Promise<number> {
  const folder = await temporaryFolder(t)
  const lines = await Promise.all(
    Array.from({ length: 10 }, async (_, at) => `user-${at}: "${await hashPassword(`password ${at}`)}"\n`),
  )
  const devices = Array.from({ length: 10 }, (_, at) => `device-${at}: "${makeToken().hash}"\n`)
  const files = { 'users.yaml': lines.join(''), 'devices.yaml': devices.join(''), 'oriole.yaml': config }
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content)
    await chmod(join(folder, name), 0o644)
  }
  const running = await startOriole({
    configPath: join(folder, 'oriole.yaml'),
    env: {},
    log: pino({ level: 'silent' }),
  })
  t.after(() => running.stop())
  return running.listeners[0]!.port
}

const config = `
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: memory }
admin: { enabled: false }
limits: { failedLogins: { perMinute: 0 } }
plugins:
  - auth-file: { users: users.yaml, devices: devices.yaml, admin: false }
  - acl-open
`

/** From CONNECT to CONNACK, as whoever guesses measures it. */
async function refusedAfterMs(port: number, username: string, password: string): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  const begun = performance.now()
  socket.write(
    generate({
      cmd: 'connect',
      clientId: '',
      clean: true,
      keepalive: 60,
      protocolVersion: 4,
      username,
      password: Buffer.from(password),
    }),
  )
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.once('data', resolve)
    socket.once('close', () => reject(new Error('closed without CONNACK')))
  })
  const took = performance.now() - begun
  assert.equal(answer[3], 4, 'bad user name or password')
  socket.destroy()
  return took
}

function reportOf(taken: Readonly<Record<Kind, readonly number[]>>): TimingReport {
  const medianMs = { user: median(taken.user), device: median(taken.device), unknown: median(taken.unknown) }
  const all = Object.values(medianMs)
  const samples = taken.user.length + taken.device.length + taken.unknown.length
  return { samples, medianMs, difference: Math.max(...all) / Math.min(...all) - 1 }
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!
}
