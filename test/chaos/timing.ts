// Wrong passwords for users and devices that exist and for names that do not: the time of the answer must not tell which.
import assert from 'node:assert/strict'
import { pbkdf2Sync, randomBytes, scryptSync } from 'node:crypto'
import { chmod, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { generate } from 'mqtt-packet'
import { pino } from 'pino'
import { startOriole } from '../../broker/main.ts'
import { hashPassword, makeToken } from '../../broker/password.ts'
import { type Cleanup, temporaryFolder } from '../helpers/broker.ts'
import type { Random } from '../helpers/random.ts'

/** `imported`: with a hash of mosquitto; `older`: with one of scrypt at half the cost. */
const kinds = ['user', 'device', 'imported', 'older', 'unknown'] as const
type Kind = (typeof kinds)[number]

/** In milliseconds. */
export type Clock = () => number
/** As whoever guesses measures it. */
const wallClock: Clock = () => performance.now()

export interface TimingOptions {
  readonly clock?: Clock
  /** How far the medians may lie apart. */
  readonly differenceMax?: number
}

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
export async function timingRun(
  t: Cleanup,
  random: Random,
  logins: number,
  more: number,
  { clock = wallClock, differenceMax = 0.05 }: TimingOptions = {},
): Promise<TimingReport> {
  const port = await startHouse(t)
  const taken: Record<Kind, number[]> = { user: [], device: [], imported: [], older: [], unknown: [] }
  let report: TimingReport
  do {
    for (let login = 0; login < logins; login += 1) {
      const kind = random.pick(kinds)
      const username = kind === 'unknown' ? `nobody-${random.below(1_000_000)}` : `${kind}-${random.below(10)}`
      const password = kind === 'device' ? makeToken().token : `guess ${random.below(1_000_000_000)}`
      taken[kind].push(await refusedAfterMs(port, username, password, clock))
    }
    report = reportOf(taken)
  } while (report.difference >= differenceMax && report.samples < logins * more)
  assert.ok(report.difference < differenceMax, JSON.stringify(report))
  return report
}

async function startHouse(t: Cleanup): Promise<number> {
  const folder = await temporaryFolder(t)
  const lines = await Promise.all(
    Array.from({ length: 10 }, async (_, at) => {
      const password = `password ${at}`
      const hashes = {
        user: await hashPassword(password),
        imported: mosquittoHash(password),
        older: olderHash(password),
      }
      return Object.entries(hashes).map(([kind, hash]) => `${kind}-${at}: "${hash}"\n`)
    }),
  )
  const devices = Array.from({ length: 10 }, (_, at) => `device-${at}: "${makeToken().hash}"\n`)
  const files = { 'users.yaml': lines.flat().join(''), 'devices.yaml': devices.join(''), 'oriole.yaml': config }
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

/** As `mosquitto_passwd` makes it. */
function mosquittoHash(password: string): string {
  const salt = randomBytes(12)
  const hash = pbkdf2Sync(password, salt, 101, 64, 'sha512')
  return `$7$101$${salt.toString('base64')}$${hash.toString('base64')}`
}

function olderHash(password: string): string {
  const salt = randomBytes(16)
  const hash = scryptSync(password, salt, 32, { N: 8_192, r: 8, p: 1 })
  return `scrypt$N=8192,r=8,p=1$${salt.toString('base64')}$${hash.toString('base64')}`
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

/** From CONNECT to CONNACK. */
async function refusedAfterMs(port: number, username: string, password: string, clock: Clock): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  const begun = clock()
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
  const took = clock() - begun
  assert.equal(answer[3], 4, 'bad user name or password')
  socket.destroy()
  return took
}

function reportOf(taken: Readonly<Record<Kind, readonly number[]>>): TimingReport {
  const medianMs = Object.fromEntries(kinds.map((kind) => [kind, median(taken[kind])])) as Record<Kind, number>
  const all = Object.values(medianMs)
  const samples = kinds.reduce((sum, kind) => sum + taken[kind].length, 0)
  return { samples, medianMs, difference: Math.max(...all) / Math.min(...all) - 1 }
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!
}
