// Routing between nodes: who wants what, the outbox for each node, the inbox of this one, and QoS 0 over the bus.
import { setTimeout as wait } from 'node:timers/promises'
import type { Message } from '../message.ts'
import type { Counts } from '../metrics/counts.ts'
import type { PluginLog } from '../plugin.ts'
import { isOutbox, type Recovered, type Store } from '../store/store.ts'
import { type ClusterHouse, nodeStream, type RemoteRoute, type Routing, type SharedGroupName } from './cluster.ts'
import { Forwarder } from './forwarder.ts'
import { Inbox, type ItemHandler } from './inbox.ts'
import { InterestTable, routeTo } from './interest-table.ts'
import { LiveMessages } from './live-messages.ts'
import type { Meeting } from './meeting.ts'
import { OwnInterest } from './own-interest.ts'
import { RemoteInterest } from './remote-interest.ts'
import { lostKind } from './retained-catch-up.ts'
import { Undecided } from './undecided.ts'

/** A start waits no longer for what the other nodes want. */
const loadMs = 5_000

/** What is there once the node is on its way to the others. */
interface Entered {
  readonly meeting: Meeting
  readonly own: OwnInterest
  readonly remote: RemoteInterest
  readonly live: LiveMessages
}

export class RedisRouting implements Routing {
  readonly #store: Store
  readonly #counts: Counts
  readonly #log: PluginLog
  readonly #table = new InterestTable()
  readonly #forwarders = new Map<string, Forwarder>()
  readonly #handlers = new Map<string, ItemHandler>()
  /** All nodes that are known: for retained messages. */
  #everyone: RemoteRoute | undefined
  #undecided: Undecided | undefined
  #entered: Entered | undefined
  #inbox: Inbox | undefined

  constructor(store: Store, counts: Counts, log: PluginLog) {
    this.#store = store
    this.#counts = counts
    this.#log = log
  }

  /** What another node sent by `send` under this kind; before `start`. The next one waits until the handler is done. */
  onItem(kind: string, handler: ItemHandler): void {
    this.#handlers.set(kind, handler)
  }

  /** Over the same way as messages with QoS 1. Resolves when the other node has taken it; it may take it twice. */
  send(node: string, kind: string, body: Buffer): Promise<void> {
    return this.#forwarder(node).send(kind, body)
  }

  /** Everything that was published here and is durable, and that this node wants, it has. */
  isIdle(node: string): boolean {
    return this.#forwarders.get(node)?.isIdle !== false
  }

  /** What other nodes sent here before this call is taken, also of those that are gone; false: not within this time. */
  drained(timeoutMs: number): Promise<boolean> {
    return this.#inbox?.drained(timeoutMs) ?? Promise.resolve(false)
  }

  /** Everything up to here that this store sent here is taken. */
  takenOf(storeId: number): number {
    return this.#inbox?.takenOf(storeId) ?? 0
  }

  /** Before the first connection to Redis. */
  enter(meeting: Meeting, house: ClusterHouse, recovered: Recovered): void {
    const own = new OwnInterest(meeting, this.#log)
    const remote = new RemoteInterest(meeting, this.#table, (from, number) => own.taken(from, number), this.#log)
    const live = new LiveMessages(meeting)
    this.#entered = { meeting, own, remote, live }
    for (const stream of this.#store.streams()) {
      const node = stream.slice(nodeStream('').length)
      if (isOutbox(stream) && isNode(node)) this.#forwarder(node, this.#store.lastSequence)
    }
    this.#undecided = new Undecided(
      {
        store: this.#store,
        log: this.#log,
        decide: (message) => this.#decide(message, house),
        decided: (sequence, nodes) => this.whenForwarded(sequence, nodes, ignore),
      },
      recovered.marks,
    )
    // It also ends when the node stops: what is undecided then waits for the next start.
    void remote.loaded().then(async () => {
      // Redis did not know this node: others may be on their way to it, too, and nobody knows them yet.
      if (meeting.timesUnknown > 0 && this.#undecided?.hasSome === true) await wait(othersMs, undefined, { ref: false })
      if (remote.isLoaded) this.#undecided?.close()
    })
    this.#inbox = new Inbox(
      {
        meeting,
        house,
        log: this.#log,
        took: (messages) => this.#count('stored', messages),
        repeated: (messages) => {
          this.#counts.clusterRepeated += messages
        },
      },
      recovered.marks,
      this.#handlers,
    )
    meeting.bus.on('messages', (from, body) => {
      const count = live.receive(from, body, (message) => void house.deliver(message).catch(() => {}))
      this.#count('live', count)
    })
    this.#listen(meeting)
    remote.start()
    this.#inbox.start()
  }

  /** Resolves when this node knows what the others want and they know what it wants, or after some seconds. */
  async start(house: ClusterHouse): Promise<void> {
    const entered = this.#entered
    if (entered === undefined) return
    await entered.own.start(house)
    if (!entered.meeting.isUp) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, loadMs)
    })
    await Promise.race([entered.remote.loaded(), late])
    clearTimeout(timer)
  }

  async stop(): Promise<void> {
    this.#entered?.own.stop()
    this.#entered?.remote.stop()
    this.#undecided?.stop()
    await this.#inbox?.stop()
    for (const forwarder of this.#forwarders.values()) forwarder.stop()
  }

  /** Of other nodes. */
  get filters(): number {
    return this.#table.size
  }

  changed(filter: string): void {
    this.#entered?.own.changed(filter)
  }

  settled(): Promise<boolean> | undefined {
    return this.#entered?.own.settled()
  }

  route(message: Message): RemoteRoute | undefined {
    if (this.#undecided?.isOpen === true) return this.#undecided.take(message)
    if (message.retain) return this.#everyone
    const match = this.#table.match(message.topic)
    return message.qos === 0 ? match.qos0 : match.acknowledged
  }

  pickShared(share: string, filter: string): { readonly node: string; readonly online: boolean } | undefined {
    return this.#table.pickShared(share, filter, (node) => this.#isLive(node))
  }

  sharedElsewhere({ topic, qos }: Message): readonly SharedGroupName[] {
    // Those of what is stored are decided with it: otherwise it would be sent twice.
    if (qos > 0 && this.#undecided?.isOpen === true) return []
    return this.#table.match(topic).groups
  }

  sendLive(message: Message, nodes: readonly string[]): void {
    this.#counts.clusterSent.live += nodes.length
    this.#entered?.live.send(message, nodes)
  }

  whenForwarded(sequence: number, nodes: readonly string[], done: () => void): void {
    if (this.#undecided !== undefined && nodes.some((node) => this.#undecided?.isUndecided(node))) {
      done()
      return
    }
    if (nodes.length === 1) {
      this.#forwarder(nodes[0]!).forward(sequence, done)
      return
    }
    let left = nodes.length
    if (left === 0) done()
    const oneDone = (): void => {
      left -= 1
      if (left === 0) done()
    }
    for (const node of nodes) this.#forwarder(node).forward(sequence, oneDone)
  }

  /** What was published here before it was known who wants it. */
  #decide(message: Message, house: ClusterHouse): readonly string[] {
    const match = this.#table.match(message.topic)
    const route = message.retain ? this.#everyone : match.acknowledged
    const nodes = [...(route?.stored ?? [])]
    if (route !== undefined && nodes.length > 0) this.#store.append(message, route.streams)
    for (const { share, filter } of message.qos === 0 ? [] : match.groups) {
      // A member here got it when it came.
      const group = house.interestOf(filter)?.groups.find((here) => here.share === share)
      if (group !== undefined && group.online + group.queueing > 0) continue
      const other = this.pickShared(share, filter)
      if (other === undefined) continue
      this.#store.append({ ...message, via: `$share/${share}/${filter}` }, [nodeStream(other.node)])
      if (!nodes.includes(other.node)) nodes.push(other.node)
    }
    return nodes
  }

  #listen(meeting: Meeting): void {
    const lookAround = (): void => {
      this.#everyone = routeTo(
        meeting.known().map(({ node }) => node),
        [],
      )
    }
    meeting.on('up', () => {
      lookAround()
      for (const forwarder of this.#forwarders.values()) forwarder.begin()
    })
    meeting.on('down', () => {
      for (const forwarder of this.#forwarders.values()) forwarder.release()
    })
    meeting.onMember('joined', ({ node }) => {
      lookAround()
      this.#forwarders.get(node)?.look()
    })
    meeting.onMember('forgotten', ({ node }) => {
      lookAround()
      this.#forget(node, meeting)
    })
  }

  #forget(node: string, meeting: Meeting): void {
    this.#forwarders.get(node)?.stop()
    this.#forwarders.delete(node)
    this.#store.trim(nodeStream(node), this.#store.lastSequence)
    // When it fails, some bytes are left until a node of this name joins again.
    void meeting.redis
      .del(meeting.key('to', node), meeting.key('taken', node), meeting.key('interest', node))
      .catch(() => {})
  }

  #isLive(node: string): boolean {
    return this.#entered?.meeting.live().some((member) => member.node === node) === true
  }

  #forwarder(node: string, durable = 0): Forwarder {
    const known = this.#forwarders.get(node)
    if (known !== undefined) return known
    if (this.#entered === undefined) throw new Error('the cluster was not entered')
    const forwarder = new Forwarder(node, durable, {
      meeting: this.#entered.meeting,
      store: this.#store,
      log: this.#log,
      lost: (messages) => {
        this.#counts.clusterOutboxDropped += messages
        this.#log.error({ node, messages }, 'messages for another node were dropped: cluster.outboxMaxBytes is reached')
        // Retained messages may have been among them.
        this.send(node, lostKind, nothing).catch(ignore)
      },
      sent: (messages) => {
        this.#counts.clusterSent.stored += messages
      },
    })
    this.#forwarders.set(node, forwarder)
    return forwarder
  }

  #count(way: 'stored' | 'live', messages: number): void {
    this.#counts.clusterReceived[way] += messages
  }
}

/** There are streams that are no node's (undecided.ts). */
function isNode(name: string): boolean {
  return /^[A-Za-z0-9_-]+$/.test(name)
}

const nothing = Buffer.alloc(0)

/** As long as other nodes may need to come to a Redis that is back. */
const othersMs = 10_000

function ignore(): void {}
