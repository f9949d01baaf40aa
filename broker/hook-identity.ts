// Who a client is: what a plugin answered when it proved it, and what `identify` made of that; made anew when rights change.
import { type FirstCall, isPromise, type Landed, type Link } from './hook-chains.ts'
import type { AuthenticateAnswer, ClientInfo, Credentials, Denial, ExchangeAnswer, Identity } from './plugin.ts'

/** What a plugin answered when the client proved who it is, before `identify`. */
export interface Proof {
  readonly identity: Identity
  /** Which plugin it was; it alone is asked to confirm it. */
  readonly plugin: string
}

/** Raised by whoever changes what plugins answer: an answer that was asked for before is asked for again. */
export interface RightsVersion {
  version: number
}

export type Identified = { readonly identity: Identity } | Denial

interface Parts {
  readonly rights: RightsVersion
  identify(identity: Identity, credentials: Credentials): Landed<Identity> | Promise<Landed<Identity>>
  /** By the name of the plugin. */
  readonly confirm: ReadonlyMap<string, (identity: Identity) => AuthenticateAnswer | Promise<AuthenticateAnswer>>
}

export class Identities {
  readonly #parts: Parts
  /** The identities that were made, each with what it was made of. */
  readonly #proofs = new WeakMap<Identity, Proof & { readonly version: number }>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** `asked`: the version of rights when the proof was asked for. */
  make(proof: Proof, credentials: Credentials, asked: number): Identified | Promise<Identified> {
    if (asked === this.#parts.rights.version) return this.#identify(proof, credentials)
    return this.remake(proof, credentials)
  }

  /** Who it is by now. */
  async remake(proof: Proof, credentials: Credentials): Promise<Identified> {
    const answer = await this.#parts.confirm.get(proof.plugin)?.(proof.identity)
    if (answer === undefined) return this.#identify(proof, credentials)
    return 'deny' in answer ? answer : this.#identify({ ...proof, identity: answer.identity }, credentials)
  }

  /** Undefined: no plugin has proved it here. */
  proofOf(identity: Identity): Proof | undefined {
    return this.#proofs.get(identity)
  }

  /** It was made by the rights of now. */
  isCurrent(identity: Identity): boolean {
    return this.#proofs.get(identity)?.version === this.#parts.rights.version
  }

  #identify(proof: Proof, credentials: Credentials): Identified | Promise<Identified> {
    const { version } = this.#parts.rights
    const keep = ({ value, because, failed }: Landed<Identity>): Identified | Promise<Identified> => {
      if (value === null) return Object.freeze(failed === true ? { deny: because, busy: true } : { deny: because })
      if (version !== this.#parts.rights.version) return this.remake(proof, credentials)
      // A plugin may return one object for many clients.
      const identity = value === proof.identity ? value : { ...value }
      this.#proofs.set(identity, { ...proof, version })
      return { identity }
    }
    const landed = this.#parts.identify(proof.identity, credentials)
    return isPromise(landed) ? landed.then(keep) : keep(landed)
  }
}

type ProofAnswer = AuthenticateAnswer | ExchangeAnswer
type ProofCall<Question> = FirstCall<Question, undefined, ProofAnswer>
export type Named<Answer> = Answer & { readonly plugin?: string }

/** The same questions; an answer with an identity says which plugin gave it. */
export function named<Question>(links: readonly Link<ProofCall<Question>>[]): Link<ProofCall<Question>>[] {
  return links.map((link) => {
    const name = (answer: ProofAnswer | undefined): Named<ProofAnswer> | undefined =>
      typeof answer === 'object' && answer !== null && 'identity' in answer
        ? { ...answer, plugin: link.plugin }
        : answer
    const call: ProofCall<Question> = (question, nothing) => {
      const answer = link.call(question, nothing)
      return isPromise(answer) ? answer.then(name) : name(answer)
    }
    return { ...link, call }
  })
}

/** Asks again when the rights, or who the client is, have changed before the answer came. */
export function current<Question, Answer>(
  rights: RightsVersion,
  ask: (client: ClientInfo, question: Question) => Answer | Promise<Answer>,
): (client: ClientInfo, question: Question) => Answer | Promise<Answer> {
  const again = (client: ClientInfo, question: Question): Answer | Promise<Answer> => {
    const answer = ask(client, question)
    if (!isPromise(answer)) return answer
    const { version } = rights
    const { identity } = client
    const isCurrent = (): boolean => version === rights.version && identity === client.identity
    return answer.then((given) => (isCurrent() ? given : again(client, question)))
  }
  return again
}
