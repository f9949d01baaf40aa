// The hook runner: asks plugins in config order, by the kind of each hook, and turns whatever goes wrong into "no".
import { errorText } from './errors.ts'
import {
  isAuthenticateAnswer,
  isDecision,
  isExchangeAnswer,
  isIdentity,
  isMessage,
  isSubscribeDecision,
} from './hook-answers.ts'
import { createFirst, createWaterfall, type Failure, isPromise, type Link, type Report } from './hook-chains.ts'
import {
  current,
  type Identified,
  Identities,
  type Named,
  named,
  type Proof,
  type RightsVersion,
} from './hook-identity.ts'
import type { Message } from './message.ts'
import type {
  AuthenticateAnswer,
  ClientInfo,
  Credentials,
  Decision,
  Denial,
  ExchangeAnswer,
  ExchangeStep,
  HookKind,
  HookName,
  Hooks,
  Identity,
  ObserveHooks,
  PluginLog,
  PublishQuestion,
  SubscribeDecision,
  SubscribeQuestion,
} from './plugin.ts'
import { hookKinds } from './plugin.ts'

export interface HookRunner extends Observers {
  /** The first answer of the chain, then the `identify` waterfall. Always answers; never throws, never rejects. */
  authenticate(credentials: Credentials): AuthenticateAnswer | Promise<AuthenticateAnswer>
  /** One step of an enhanced authentication; an identity has gone through `identify`. Never throws or rejects. */
  authenticateExchange(step: ExchangeStep): Promise<ExchangeAnswer>
  /** Of an identity that one of the two above made. */
  proofOf(identity: Identity): Proof | undefined
  /** It was made by the rights of now. */
  isCurrent(identity: Identity): boolean
  /** For a proof that its plugin gives unasked: `identify` alone. Never throws or rejects. */
  accept(proof: Proof, credentials: Credentials): Identified | Promise<Identified>
  /** What a proof is worth by now: `confirm`, then `identify`. Never throws or rejects. */
  identify(proof: Proof, credentials: Credentials): Identified | Promise<Identified>
  /** Raise it when plugins answer by other rules than before: answers that are on their way are asked for again. */
  readonly rights: RightsVersion
  /** A synchronous answer stays synchronous: the hot path awaits nothing and allocates nothing. Never throws or rejects. */
  authorizePublish(client: ClientInfo, question: PublishQuestion): Decision | Promise<Decision>
  authorizeSubscribe(client: ClientInfo, question: SubscribeQuestion): SubscribeDecision | Promise<SubscribeDecision>
  /** Undefined when no plugin registered it: an unused hook costs one lookup. Null drops the message. */
  readonly onPublish: ((message: Message, client: ClientInfo) => Message | null | Promise<Message | null>) | undefined
  readonly onDeliver: ((message: Message, client: ClientInfo) => Message | null) | undefined
}

/** Undefined where no plugin registered it. They never throw and never reject. */
export type Observers = {
  readonly [Name in keyof ObserveHooks]: ((...told: Parameters<ObserveHooks[Name]>) => void) | undefined
}

export interface LoadedPlugin {
  /** As in the config and in `because`. */
  readonly name: string
  readonly hooks: Partial<Hooks>
}

export { noPluginAnswered } from './hook-chains.ts'

export interface HookOptions {
  /** For all plugins of one question together; no answer in time is "no". */
  readonly timeoutMs: number
  readonly log: PluginLog
  /** Counted for each failure of a plugin, also for those that the log leaves out. */
  onPluginError(plugin: string): void
}

/** Takes the plugins in config order. */
export function createHooks(plugins: readonly LoadedPlugin[], options: HookOptions): HookRunner {
  const report = createReporter(options)
  const linksOf = <Name extends HookName>(name: Name) => collectLinks(plugins, name)
  const { timeoutMs } = options

  const rights: RightsVersion = { version: 0 }
  const authenticate = createFirst<Credentials, undefined, Named<AuthenticateAnswer>>(
    named(linksOf('authenticate')) as Link<Hooks['authenticate']>[],
    isAuthenticateAnswer,
    refuse,
    timeoutMs,
    report,
  )
  const exchange = createFirst<ExchangeStep, undefined, Named<ExchangeAnswer>>(
    named(linksOf('authenticateExchange')) as Link<Hooks['authenticateExchange']>[],
    isExchangeAnswer,
    refuse,
    timeoutMs,
    report,
  )
  const identities = new Identities({
    rights,
    identify: createWaterfall(linksOf('identify'), isIdentity, timeoutMs, report),
    confirm: createConfirm(linksOf('confirm'), timeoutMs, report),
  })
  const authorizePublish = createFirst(linksOf('authorizePublish'), isDecision, deny, timeoutMs, report)
  const authorizeSubscribe = createFirst(linksOf('authorizeSubscribe'), isSubscribeDecision, deny, timeoutMs, report)
  const onDeliver = linksOf('onDeliver')
  const onPublish = linksOf('onPublish')

  return {
    authenticate(credentials) {
      const asked = rights.version
      const make = (answer: Named<AuthenticateAnswer>): Identified | Promise<Identified> => {
        if ('deny' in answer) return answer
        return identities.make({ identity: answer.identity, plugin: answer.plugin ?? '' }, credentials, asked)
      }
      const answer = authenticate(credentials, undefined)
      return isPromise(answer) ? answer.then(make) : make(answer)
    },
    async authenticateExchange(step) {
      const asked = rights.version
      const answer = await exchange(step, undefined)
      if (!('identity' in answer)) return answer
      const { identity, plugin = '', ...others } = answer
      const identified = await identities.make({ identity, plugin }, step, asked)
      return 'deny' in identified ? identified : { ...others, ...identified }
    },
    proofOf: (identity) => identities.proofOf(identity),
    isCurrent: (identity) => identities.isCurrent(identity),
    accept: (proof, credentials) => identities.make(proof, credentials, rights.version),
    identify: (proof, credentials) => identities.remake(proof, credentials),
    rights,
    authorizePublish: current(rights, authorizePublish),
    authorizeSubscribe: current(rights, authorizeSubscribe),
    onPublish: onPublish.length === 0 ? undefined : createPublishHook(onPublish, timeoutMs, report),
    onDeliver: onDeliver.length === 0 ? undefined : createDeliverHook(onDeliver, report),
    ...createObservers(linksOf, report),
  }
}

function collectLinks<Name extends HookName>(plugins: readonly LoadedPlugin[], hook: Name): Link<Hooks[Name]>[] {
  return plugins.flatMap(({ name, hooks }) => {
    const registered = hooks[hook]
    if (registered === undefined) return []
    const failed = {
      threw: `${name}: ${hook} failed`,
      timedOut: `${name}: ${hook} gave no answer in time`,
      malformed: `${name}: ${hook} gave a malformed answer`,
      dropped: `${name}: ${hook} refused`,
    }
    const call = (registered as (...given: unknown[]) => unknown).bind(hooks) as Hooks[Name]
    return [{ plugin: name, hook, call, failed }]
  })
}

/** Each failure is counted; the log gets one line a second for each plugin and hook, with how many it left out. */
function createReporter(options: HookOptions): Report {
  const lastLines = new Map<string, { at: number; leftOut: number }>()
  return (link, failure, error) => {
    options.onPluginError(link.plugin)
    const last = lastLines.get(link.failed[failure])
    const now = Date.now()
    if (last !== undefined && now - last.at < 1_000) {
      last.leftOut += 1
      return
    }
    lastLines.set(link.failed[failure], { at: now, leftOut: 0 })
    const fields = {
      plugin: link.plugin,
      hook: link.hook,
      failure,
      ...(error === undefined ? {} : { error: errorText(error) }),
      ...(last?.leftOut ? { leftOut: last.leftOut } : {}),
    }
    options.log.error(fields, 'plugin failed')
  }
}

/** Each plugin confirms what it answered itself. */
function createConfirm(links: readonly Link<Hooks['confirm']>[], timeoutMs: number, report: Report) {
  return new Map(
    links.map((link) => {
      const ask = createFirst<Identity, undefined, AuthenticateAnswer>(
        [link],
        isAuthenticateAnswer,
        refuse,
        timeoutMs,
        report,
      )
      return [link.plugin, (identity: Identity) => ask(identity, undefined)]
    }),
  )
}

function createPublishHook(
  links: readonly Link<Hooks['onPublish']>[],
  timeoutMs: number,
  report: Report,
): NonNullable<HookRunner['onPublish']> {
  const fall = createWaterfall<Message, ClientInfo>(links, isMessage, timeoutMs, report)
  return (message, client) => {
    const landed = fall(message, client)
    return isPromise(landed) ? landed.then(({ value }) => value) : landed.value
  }
}

/** Runs once for each receiver: a promise is malformed, nothing is awaited. */
function createDeliverHook(
  links: readonly Link<Hooks['onDeliver']>[],
  report: Report,
): NonNullable<HookRunner['onDeliver']> {
  return (message, client) => {
    let value: Message = message
    for (const link of links) {
      try {
        const next = link.call(value, client)
        if (next === null) return null
        if (next !== value && !isMessage(next)) {
          report(link, 'malformed')
          if (isPromise(next)) swallow(next)
          return null
        }
        value = next
      } catch (error) {
        report(link, 'threw', error)
        return null
      }
    }
    return value
  }
}

type Observe = (...told: unknown[]) => unknown

function createObservers(linksOf: (name: keyof ObserveHooks) => readonly Link<unknown>[], report: Report): Observers {
  const names = (Object.keys(hookKinds) as HookName[]).filter((name) => (hookKinds[name] as HookKind) === 'observe')
  const observers = names.map((name) => {
    const links = linksOf(name as keyof ObserveHooks) as readonly Link<Observe>[]
    return [name, links.length === 0 ? undefined : createObserver(links, report)]
  })
  return Object.fromEntries(observers) as Observers
}

function createObserver(links: readonly Link<Observe>[], report: Report): (...told: unknown[]) => void {
  return (...told) => {
    for (const link of links) {
      try {
        const pending = link.call(...told)
        if (isPromise(pending)) pending.then(undefined, (error: unknown) => report(link, 'threw', error))
      } catch (error) {
        report(link, 'threw', error)
      }
    }
  }
}

function deny(because: string, failure?: Failure): Decision {
  return Object.freeze({ allow: false, because, ...(failure !== undefined && { failed: true as const }) })
}

/** A plugin that failed has not said who it is not: no password was found wrong. */
function refuse(because: string, failure?: Failure): Denial {
  return Object.freeze(failure === undefined ? { deny: because } : { deny: because, busy: true })
}

function swallow(promise: Promise<unknown>): void {
  promise.then(undefined, () => undefined)
}
