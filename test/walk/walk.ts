// One walk: a broker of its own, real clients, a model beside them; and a comparison after each step.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import { startOriole } from '../../broker/main.ts'
import type { Running } from '../../broker/running.ts'
import { snapshot } from '../helpers/snapshot.ts'
import { WalkClient, type WalkHouse } from './client.ts'
import { Judge } from './judge.ts'
import { Model } from './model.ts'
import type { WalkMessage } from './owed.ts'
import { type Action, type BurstStep, type ConnectStep, clientCount, type Step } from './steps.ts'

export type StoreKind = 'memory' | 'level'

export interface WalkResult {
  /** Undefined: the broker did as the model says. */
  readonly difference: string | undefined
  /** Steps, and what clients received. */
  readonly history: readonly string[]
}

/** Runs the steps; those that make no sense where they come are left out. What the broker owes comes within `patienceMs`. */
export async function walk(steps: readonly Step[], store: StoreKind, patienceMs = 5_000): Promise<WalkResult> {
  const folder = await mkdtemp(join(tmpdir(), 'oriole-walk-'))
  const one = new Walk(folder, store, patienceMs)
  try {
    return await one.run(steps)
  } finally {
    await one.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

class Walk implements WalkHouse {
  readonly model = new Model()
  readonly judge = new Judge(this.model)
  readonly #folder: string
  readonly #store: StoreKind
  readonly #patienceMs: number
  readonly #clients: WalkClient[]
  readonly #history: string[] = []
  #running: Running | undefined
  /** Counts the starts: after a crash the broker goes on with a copy of the data. */
  #starts = 0
  #messages = 0
  #moves = 0
  #wake: (() => void) | undefined

  constructor(folder: string, store: StoreKind, patienceMs: number) {
    this.#folder = folder
    this.#store = store
    this.#patienceMs = patienceMs
    this.#clients = Array.from({ length: clientCount }, (_, index) => new WalkClient(`c${index}`, this))
    for (const client of this.#clients) {
      client.got = (id, text) => this.#clients.some((other) => other.id === id && other.texts.has(text))
    }
  }

  get port(): number {
    return this.#running!.listeners[0]!.port
  }

  note(line: string): void {
    this.#history.push(line)
  }

  moved(): void {
    this.#moves += 1
    this.#wake?.()
  }

  message(client: WalkClient, action: Action & { readonly send: 'publish' }): WalkMessage {
    this.#messages += 1
    const { topic, qos, retain, empty } = action
    return { topic, text: empty ? '' : `m${this.#messages}`, qos, retain, from: client.id, order: this.#messages }
  }

  async run(steps: readonly Step[]): Promise<WalkResult> {
    await this.#start()
    for (const step of [...steps, ...finale()]) {
      this.note(`  ${JSON.stringify(step)}`)
      await this.#do(step)
      await this.#settle()
      if (this.model.differences.length > 0) break
    }
    return { difference: this.model.differences[0], history: this.#history }
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.cut()
    await this.#running?.stop()
  }

  async #start(): Promise<void> {
    const data = join(this.#folder, `data-${this.#starts}`)
    const configPath = join(this.#folder, 'oriole.yaml')
    await mkdir(data, { recursive: true })
    await writeFile(configPath, configText(this.#store, data))
    this.#running = await startOriole({ configPath, env: {}, log: pino({ level: 'silent' }) })
  }

  async #do(step: Step): Promise<void> {
    if (step.do === 'together') {
      this.model.race(step.steps.flatMap((one) => (one.do === 'burst' || !('client' in one) ? [] : [`c${one.client}`])))
      // Who comes or goes does so in the model first: what is published meanwhile may find it here or not.
      const [bursts, others] = [step.steps.filter(isBurst), step.steps.filter((one) => !isBurst(one))]
      for (const one of [...others, ...bursts]) this.#doNow(one)
      await this.#settle()
      this.model.race([])
    } else if (step.do === 'restart') await this.#restart()
    else if (step.do === 'crash') await this.#crash(step.bursts, step.turns)
    else if (step.do === 'half-publish') {
      const client = this.#clients[step.client]!
      if (!client.connected) return
      client.sendHalf(step.topic)
      await this.#settle()
      client.cut()
    } else this.#doNow(step)
  }

  #doNow(step: Step): void {
    if (!('client' in step)) return
    const client = this.#clients[step.client]!
    if (step.do === 'connect') {
      client.connect(step)
      return
    }
    if (!client.connected) return
    if (step.do === 'burst') client.send(step.actions)
    else if (step.do === 'burst-and-cut') {
      client.send(step.actions, false)
      client.cut()
    } else if (step.do === 'cut') client.cut()
    else if (step.do === 'disconnect') client.disconnect(step.expiryS)
    else if (step.do === 'hold') client.holding = true
    else if (step.do === 'release') client.release(step.count)
  }

  async #restart(): Promise<void> {
    if (this.#store === 'memory') return
    for (const client of this.#clients) client.cut()
    this.model.restart(false)
    await this.#running?.stop()
    await this.#start()
  }

  /** As a kill would leave it: the files as they are at one moment, and nothing after it. */
  async #crash(bursts: readonly BurstStep[], turns: number): Promise<void> {
    if (this.#store === 'memory') return
    await this.#commit()
    for (const { client, actions } of bursts) this.#clients[client]!.send(actions, false)
    for (let count = 0; count < turns; count += 1) await turn()
    const from = join(this.#folder, `data-${this.#starts}`)
    this.#starts += 1
    await snapshot(from, join(this.#folder, `data-${this.#starts}`))
    for (const client of this.#clients) client.cut()
    this.model.restart(true)
    await this.#running?.stop()
    await this.#start()
  }

  /** What the broker wrote before is on disk when a session is: also the end of one, which nobody acknowledges. */
  async #commit(): Promise<void> {
    const model = new Model()
    const helper = new WalkClient('helper', { ...this.#quietHouse(), model, judge: new Judge(model) })
    helper.connect({ ...connectStep(0, true), expiryS: 1 })
    await helper.ping()
    helper.cut()
  }

  #quietHouse(): Omit<WalkHouse, 'model' | 'judge'> {
    return { port: this.port, note: () => {}, moved: () => {}, message: () => assert.fail('it does not publish') }
  }

  /** Waits until every client has what it is owed and everybody knows it. */
  async #settle(): Promise<void> {
    const end = Date.now() + this.#patienceMs
    for (;;) {
      await Promise.all(this.#clients.map((client) => client.left))
      const before = this.#moves
      // Twice: the first round may have let the broker see that somebody left.
      for (let round = 0; round < 2; round += 1) await Promise.all(this.#clients.map((client) => client.ping()))
      if (this.model.differences.length > 0) return
      const lacking = [...this.judge.lacking(), ...this.#clients.flatMap((client) => client.lacking())]
      if (lacking.length === 0 && this.#moves === before) break
      if (Date.now() > end) {
        this.model.differ(lacking[0] ?? 'no end of packets')
        return
      }
      if (this.#moves === before) await this.#move(end - Date.now())
    }
    this.model.quiet()
    this.judge.quiet()
  }

  async #move(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
    this.#wake = undefined
  }
}

/** Everybody takes what waits; a newcomer sees the retained messages; all that comes too often has come by the end. */
function finale(): Step[] {
  const steps: Step[] = []
  for (let client = 0; client < clientCount; client += 1) {
    steps.push({ do: 'release', client, count: Number.POSITIVE_INFINITY }, connectStep(client, false))
  }
  const all = ['#', '$x/#'].map((filter) => ({
    ...{ filter, qos: 2 as const, noLocal: false, retainAsPublished: false, retainHandling: 0 as const },
  }))
  steps.push(connectStep(0, true), { do: 'burst', client: 0, actions: [{ send: 'subscribe', filters: all, id: 1 }] })
  return steps
}

function connectStep(client: number, clean: boolean): ConnectStep {
  return { do: 'connect', client, version: 5, clean, expiryS: 5_000, receiveMaximum: undefined, hold: false }
}

function isBurst(step: Step): boolean {
  return step.do === 'burst'
}

function configText(store: StoreKind, data: string): string {
  const stored = store === 'memory' ? '{ type: memory }' : `{ type: level, path: ${data}, durability: os }`
  return `
node: walk
listeners:
  - { name: tcp, type: tcp, port: 0 }
store: ${stored}
admin: { enabled: false }
limits: { connectsPerClient: { perS: 100000, burst: 100000 }, loopDelayMs: 0 }
plugins: [auth-anonymous, acl-open]
`
}
