// Questions from one node to another, with answers, over the bus.
import { errorText } from '../errors.ts'
import type { FrameKind, Member } from './meeting.ts'

/** Asked and not answered yet; over it a question is refused at once, so that a node that hangs costs no memory. */
const openMax = 10_000

interface Open {
  readonly to: Member
  resolve(answer: unknown): void
  reject(error: Error): void
  readonly timer: NodeJS.Timeout
}

interface Question {
  readonly id: number
  readonly question: string
  readonly body?: unknown
}

type Answer = { readonly id: number } & ({ readonly answer?: unknown } | { readonly error: string })

type Answerer = (from: Member, body: unknown) => Promise<unknown>

export interface QuestionsOptions {
  send(to: Member, kind: FrameKind, body: Buffer): void
  /** Undefined when it can be asked now. */
  whyNot(to: Member): string | undefined
}

export class Questions {
  readonly #options: QuestionsOptions
  readonly #open = new Map<number, Open>()
  readonly #answerers = new Map<string, Answerer>()
  #lastId = 0

  constructor(options: QuestionsOptions) {
    this.#options = options
  }

  ask(to: Member, question: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const whyNot = this.#options.whyNot(to) ?? (this.#open.size >= openMax ? 'too many questions are open' : undefined)
    if (whyNot !== undefined) return Promise.reject(new Error(`node "${to.node}" cannot be asked: ${whyNot}`))
    this.#lastId += 1
    const id = this.#lastId
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#open.delete(id)
        reject(new Error(`node "${to.node}" did not answer "${question}" within ${timeoutMs} ms`))
      }, timeoutMs)
      this.#open.set(id, { to, resolve, reject, timer })
      this.#options.send(to, 'question', pack({ id, question, body } satisfies Question))
    })
  }

  answer(question: string, answerer: Answerer): void {
    if (this.#answerers.has(question)) throw new Error(`"${question}" is answered already`)
    this.#answerers.set(question, answerer)
  }

  /** What it throws is a frame that cannot be read. */
  onQuestion(from: Member, bytes: Buffer): void {
    const { id, question, body } = JSON.parse(bytes.toString()) as Question
    const answerer = this.#answerers.get(question)
    const answer = answerer === undefined ? Promise.reject(new Error(`nobody here answers "${question}"`)) : run()
    async function run(): Promise<unknown> {
      return answerer?.(from, body)
    }
    const reply = (answer: Answer): void => this.#options.send(from, 'answer', pack(answer))
    void answer.then((value) => reply({ id, answer: value })).catch((error) => reply({ id, error: errorText(error) }))
  }

  onAnswer(from: Member, bytes: Buffer): void {
    const answer = JSON.parse(bytes.toString()) as Answer
    const open = this.#open.get(answer.id)
    // Too late, or not from the one that was asked.
    if (open === undefined || open.to.run !== from.run) return
    this.#open.delete(answer.id)
    clearTimeout(open.timer)
    if ('error' in answer) open.reject(new Error(answer.error))
    else open.resolve(answer.answer)
  }

  /** Nobody will answer these any more. */
  giveUp(why: string, isLost: (asked: Member) => boolean): void {
    for (const [id, open] of this.#open) {
      if (!isLost(open.to)) continue
      this.#open.delete(id)
      clearTimeout(open.timer)
      open.reject(new Error(`node "${open.to.node}" did not answer: ${why}`))
    }
  }
}

function pack(value: Question | Answer): Buffer {
  return Buffer.from(JSON.stringify(value))
}
