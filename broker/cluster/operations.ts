// What the person who runs the cluster asks of a node: how everybody is, and to forget who is gone for good.
import { errorText, OrioleError } from '../errors.ts'
import type { PluginLog } from '../plugin.ts'
import type { Store } from '../store/store.ts'
import { type ClusterHouse, nodeStream } from './cluster.ts'
import type {
  ClusterOperations,
  ClusterStatus,
  Forgotten,
  NodeCounts,
  NodeEnded,
  NodeReload,
  NodeReport,
  NodeStatus,
  OutboxStatus,
  RedisStatus,
  StreamStatus,
  Whom,
} from './cluster-status.ts'
import type { Meeting, Member } from './meeting.ts'
import { redisHealth } from './redis-health.ts'

/** A node that hangs holds up no answer for longer. */
const answerMs = 1_000
const question = 'status'
const reloadQuestion = 'reload'
const kickQuestion = 'kick'
const kickAnswerMs = 2_000
/** Long files are read and compared in slices. */
const reloadAnswerMs = 10_000

export interface OperationsParts {
  readonly cluster: string
  /** Of the release. */
  readonly version: string
  readonly store: Store
  readonly filters: () => number
  readonly log: PluginLog
  /** The files of this node's plugins are read now. */
  readonly reload: () => Promise<unknown>
}

export class Operations implements ClusterOperations {
  readonly #parts: OperationsParts
  readonly #startedAt = performance.now()
  #meeting: Meeting | undefined
  #house: ClusterHouse | undefined

  constructor(parts: OperationsParts) {
    this.#parts = parts
  }

  /** Before the first connection to Redis. */
  enter(meeting: Meeting, house: ClusterHouse): void {
    this.#meeting = meeting
    this.#house = house
    meeting.bus.answer(question, async () => this.#report(house))
    meeting.bus.answer(reloadQuestion, () => this.#parts.reload())
    meeting.bus.answer(kickQuestion, async ({ node }, whom) => this.#kick(node, whom as Whom, house))
  }

  async status(): Promise<ClusterStatus> {
    const meeting = this.#entered()
    const others = [...meeting.known()]
    const [redis, streams, reports] = await Promise.all([
      this.#redis(meeting),
      this.#streams(meeting, [meeting.self, ...others]),
      Promise.all(others.map((member) => this.#ask(meeting, member))),
    ])
    const nodes = others.map((member, index) => nodeStatus(meeting, member, streams, reports[index]))
    const here = { ...nodeStatus(meeting, meeting.self, streams, this.#report(this.#house!)), state: 'here' as const }
    nodes.push(here)
    return { cluster: this.#parts.cluster, redis, nodes: nodes.sort((a, b) => (a.node < b.node ? -1 : 1)) }
  }

  async forget(node: string): Promise<Forgotten> {
    const meeting = this.#entered()
    const refuse = (why: string): never => {
      throw new OrioleError('ORI_CLUSTER_FORGET', `node "${node}" cannot be forgotten: ${why}`)
    }
    if (!meeting.isUp) refuse('Redis is away, and the others could not be told; try again when it is back')
    if (node === meeting.self.node) refuse('it is this one; ask another node')
    const known = meeting.known().map((member) => member.node)
    if (!known.includes(node)) {
      refuse(`there is none of that name; there ${known.length === 0 ? 'are no others' : `is ${known.join(', ')}`}`)
    }
    const { messages } = this.#parts.store.held(nodeStream(node))
    try {
      await meeting.forget(node)
    } catch (error) {
      refuse(errorText(error))
    }
    return { messages }
  }

  async reloadOthers(): Promise<readonly NodeReload[]> {
    const answers = await this.#askOthers(reloadQuestion, null, reloadAnswerMs)
    return answers.map(({ node, answer, problem }) => ({ node, outcome: answer, problem }))
  }

  async kickElsewhere(whom: Whom): Promise<readonly NodeEnded[]> {
    const answers = await this.#askOthers(kickQuestion, whom, kickAnswerMs)
    return answers.map(({ node, answer, problem }) => ({ node, ended: Number(answer ?? 0), problem }))
  }

  get isRedisUp(): boolean {
    return this.#meeting?.isUp === true
  }

  get refusal(): string | undefined {
    const problem = this.#meeting?.problem
    return problem instanceof OrioleError ? `${problem.code}: ${problem.message}` : undefined
  }

  async lookAround(): Promise<void> {
    await this.#meeting?.lookAround()
  }

  nodes(): NodeCounts {
    const live = this.#meeting?.live().length ?? 0
    return { live, away: (this.#meeting?.known().length ?? 0) - live }
  }

  outboxes(): readonly OutboxStatus[] {
    const { store } = this.#parts
    const prefix = nodeStream('')
    const found: OutboxStatus[] = []
    const live = new Set(this.#meeting?.live().map(({ node }) => node))
    for (const { node } of this.#meeting?.known() ?? []) {
      const { messages, bytes, oldestPublishedAt } = store.held(`${prefix}${node}`)
      const oldestS = oldestPublishedAt === undefined ? undefined : seconds(Date.now() - oldestPublishedAt)
      found.push({ node, isLive: live.has(node), messages, bytes, oldestS })
    }
    return found
  }

  serverReferences(): readonly string[] {
    const live = this.#meeting?.live() ?? []
    return live.flatMap(({ serverReference }) => (serverReference === undefined ? [] : [serverReference]))
  }

  get filters(): number {
    return this.#parts.filters()
  }

  #kick(by: string, { client, user }: Whom, house: ClusterHouse): number {
    const ended = house.endAll(({ id, identity }) => id === client || identity.username === user, 'kicked by an admin')
    this.#parts.log.info({ audit: 'admin', by, client, user, ended }, 'kicked')
    return ended
  }

  /** Of each node that is known: the answer, or why there is none. */
  #askOthers(
    question: string,
    body: unknown,
    answerMs: number,
  ): Promise<readonly { readonly node: string; readonly answer: unknown; readonly problem: string | undefined }[]> {
    const meeting = this.#entered()
    return Promise.all(
      meeting.known().map(async (member) => {
        const { node } = member
        try {
          return { node, answer: await meeting.bus.ask(member, question, body, answerMs), problem: undefined }
        } catch (error) {
          return { node, answer: undefined, problem: errorText(error) }
        }
      }),
    )
  }

  #entered(): Meeting {
    if (this.#meeting === undefined) throw new Error('the cluster was not entered')
    return this.#meeting
  }

  #report(house: ClusterHouse): NodeReport {
    const upS = seconds(performance.now() - this.#startedAt)
    return { version: this.#parts.version, upS, ...house.load(), outboxes: this.outboxes() }
  }

  async #ask(meeting: Meeting, member: Member): Promise<NodeReport | undefined> {
    if (!meeting.live().includes(member)) return undefined
    // Sealed by a node of this cluster: it is what it says.
    return (await meeting.bus.ask(member, question, null, answerMs).catch(() => undefined)) as NodeReport | undefined
  }

  async #redis(meeting: Meeting): Promise<RedisStatus> {
    if (meeting.isUp) {
      const health = await redisHealth(meeting.redis).catch(() => undefined)
      if (health !== undefined) return { isUp: true, problem: undefined, ...health }
    }
    const problem = meeting.problem === undefined ? 'it does not answer' : errorText(meeting.problem)
    const nothing = { latencyMs: undefined, version: undefined, memoryBytes: undefined, clients: undefined }
    return { isUp: false, problem, ...nothing, warnings: [] }
  }

  /** By node. Keys of another kind, and a Redis that is away, are shown as unknown. */
  async #streams(meeting: Meeting, members: readonly Member[]): Promise<ReadonlyMap<string, StreamStatus>> {
    const found = new Map<string, StreamStatus>()
    if (!meeting.isUp) return found
    const pipeline = meeting.redis.pipeline().time()
    for (const { node } of members) pipeline.eval(streamScript, 1, meeting.key('to', node))
    const answers = (await pipeline.exec().catch(() => null)) ?? []
    const [nowS] = (answers[0]?.[1] ?? []) as unknown[]
    members.forEach(({ node }, index) => {
      const [error, answer] = answers[index + 1] ?? [new Error('no answer'), undefined]
      if (error !== null || !Array.isArray(answer)) return
      const [entries, oldest] = answer as [number, string]
      const oldestAtS = oldest === '' ? undefined : Number(oldest.split('-')[0]) / 1000
      found.set(node, {
        entries,
        oldestS: oldestAtS === undefined ? undefined : Math.max(0, Math.round(Number(nowS) - oldestAtS)),
      })
    })
    return found
  }
}

/** The oldest entry without its content, which may be 128 KiB. */
const streamScript = `
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return {redis.call('XLEN', KEYS[1]), oldest and oldest[1] or ''}
`

function nodeStatus(
  meeting: Meeting,
  { node, busVersion, serverReference }: Member,
  streams: ReadonlyMap<string, StreamStatus>,
  report: NodeReport | undefined,
): NodeStatus {
  const isLive = meeting.live().some((member) => member.node === node)
  const state = !meeting.isUp ? 'unknown' : isLive ? 'live' : 'away'
  return { node, state, busVersion, serverReference, stream: streams.get(node), report }
}

function seconds(ms: number): number {
  return Math.max(0, Math.round(ms / 1000))
}
