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
import type { Message } from './message.ts'
import type {
  AuthenticateAnswer,
  ClientInfo,
  Credentials,
  Decision,
  ExchangeAnswer,
  ExchangeStep,
  HookKind,
  HookName,
  Hooks,
  ObserveHooks,
  PluginLog,
  PublishQuestion,
  SubscribeDecision,
  SubscribeQuestion,
} from './plugin.ts'
import { hookKinds } from './plugin.ts'

export interface HookRunner extends Observers {
  /** The first answer of the chain, then the `identify` waterfall. Always answers; never throws, never rejects. */
  authenticate(credentials: Credentials): Promise<AuthenticateAnswer>
  /** One step of an enhanced authentication; an identity has gone through `identify`. Never throws or rejects. */
  authenticateExchange(step: ExchangeStep): Promise<ExchangeAnswer>
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

/** The refusal of a question that every plugin passed on. */
export const noPluginAnswered = 'no plugin answered'

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

  const authenticate = createFirst(linksOf('authenticate'), isAuthenticateAnswer, refuse, timeoutMs, report)
  const exchange = createFirst<ExchangeStep, undefined, ExchangeAnswer>(
    linksOf('authenticateExchange'),
    isExchangeAnswer,
    refuse,
    timeoutMs,
    report,
  )
  const identify = createWaterfall(linksOf('identify'), isIdentity, timeoutMs, report)
  const onDeliver = linksOf('onDeliver')
  const onPublish = linksOf('onPublish')

  return {
    async authenticate(credentials) {
      const answer = await authenticate(credentials, undefined)
      if ('deny' in answer) return answer
      const identified = await identify(answer.identity, credentials)
      return identified.value === null ? refuse(identified.because) : { identity: identified.value }
    },
    async authenticateExchange(step) {
      const answer = await exchange(step, undefined)
      if (!('identity' in answer)) return answer
      const identified = await identify(answer.identity, step)
      return identified.value === null ? refuse(identified.because) : { ...answer, identity: identified.value }
    },
    authorizePublish: createFirst(linksOf('authorizePublish'), isDecision, deny, timeoutMs, report),
    authorizeSubscribe: createFirst(linksOf('authorizeSubscribe'), isSubscribeDecision, deny, timeoutMs, report),
    onPublish: onPublish.length === 0 ? undefined : createPublishHook(onPublish, timeoutMs, report),
    onDeliver: onDeliver.length === 0 ? undefined : createDeliverHook(onDeliver, report),
    ...createObservers(linksOf, report),
  }
}

/** One plugin in the chain of one hook. */
interface Link<Hook> {
  readonly plugin: string
  readonly hook: HookName
  readonly call: Hook
  /** Made once: these are the constants that a refusal carries. */
  readonly failed: Readonly<Record<Failure, string>>
}

type Failure = 'threw' | 'timedOut' | 'malformed' | 'dropped'

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

type Report = (link: Link<unknown>, failure: Failure, error?: unknown) => void

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

type FirstCall<First, Second, Answer> = (
  first: First,
  second: Second,
) => Answer | undefined | Promise<Answer | undefined>

/** First hooks: asked in order until one answers. No answer, a throw, a malformed or a late answer is "no". */
function createFirst<First, Second, Answer>(
  links: readonly Link<FirstCall<First, Second, Answer>>[],
  isAnswer: (answer: unknown) => boolean,
  no: (because: string) => Answer,
  timeoutMs: number,
  report: Report,
): (first: First, second: Second) => Answer | Promise<Answer> {
  const nobody = no(noPluginAnswered)
  const refusals = links.map((link) => ({
    threw: no(link.failed.threw),
    timedOut: no(link.failed.timedOut),
    malformed: no(link.failed.malformed),
  }))

  function failed(at: number, failure: keyof (typeof refusals)[number], error?: unknown): Answer {
    report(links[at]!, failure, error)
    return refusals[at]![failure]
  }

  function ask(first: First, second: Second): Answer | Promise<Answer> {
    for (let at = 0; at < links.length; at++) {
      let answer: Answer | undefined | Promise<Answer | undefined>
      try {
        answer = links[at]!.call(first, second)
      } catch (error) {
        return failed(at, 'threw', error)
      }
      if (answer === undefined) continue
      if (isPromise(answer)) return askOn(first, second, at, answer)
      return isAnswer(answer) ? (answer as Answer) : failed(at, 'malformed')
    }
    return nobody
  }

  /** Goes on from the plugin that answered with a promise. */
  function askOn(first: First, second: Second, from: number, pending: Promise<Answer | undefined>): Promise<Answer> {
    return within(
      timeoutMs,
      from,
      async (progress) => {
        let answer: unknown = pending
        for (; progress.at < links.length && !progress.over; progress.at++) {
          try {
            if (progress.at > from) answer = links[progress.at]!.call(first, second)
            answer = await answer
          } catch (error) {
            return progress.over ? nobody : failed(progress.at, 'threw', error)
          }
          if (answer === undefined) continue
          return isAnswer(answer) ? (answer as Answer) : failed(progress.at, 'malformed')
        }
        return nobody
      },
      (at) => failed(at, 'timedOut'),
    )
  }

  return ask
}

type WaterfallCall<Value, Second> = (value: Value, second: Second) => Value | null | Promise<Value | null>

/** Where a waterfall ended: the value, or null and why. */
interface Landed<Value> {
  readonly value: Value | null
  readonly because: string
}

/** Waterfall hooks: each gets what the one before returned. Null, a throw, a malformed or a late value is null. */
function createWaterfall<Value, Second>(
  links: readonly Link<WaterfallCall<Value, Second>>[],
  isValue: (value: unknown) => boolean,
  timeoutMs: number,
  report: Report,
): (value: Value, second: Second) => Landed<Value> | Promise<Landed<Value>> {
  function failed(at: number, failure: 'threw' | 'timedOut' | 'malformed', error?: unknown): Landed<Value> {
    report(links[at]!, failure, error)
    return { value: null, because: links[at]!.failed[failure] }
  }

  /** Undefined: go on with `next`. */
  function checked(at: number, next: unknown, before: Value): Landed<Value> | undefined {
    if (next === null) return { value: null, because: links[at]!.failed.dropped }
    return next === before || isValue(next) ? undefined : failed(at, 'malformed')
  }

  function fall(value: Value, second: Second): Landed<Value> | Promise<Landed<Value>> {
    for (let at = 0; at < links.length; at++) {
      let next: Value | null | Promise<Value | null>
      try {
        next = links[at]!.call(value, second)
      } catch (error) {
        return failed(at, 'threw', error)
      }
      if (isPromise(next)) return fallOn(value, second, at, next)
      const end = checked(at, next, value)
      if (end !== undefined) return end
      value = next as Value
    }
    return { value, because: '' }
  }

  function fallOn(value: Value, second: Second, from: number, pending: Promise<Value | null>): Promise<Landed<Value>> {
    return within(
      timeoutMs,
      from,
      async (progress) => {
        let next: unknown = pending
        for (; progress.at < links.length && !progress.over; progress.at++) {
          try {
            if (progress.at > from) next = links[progress.at]!.call(value, second)
            next = await next
          } catch (error) {
            return progress.over ? { value: null, because: '' } : failed(progress.at, 'threw', error)
          }
          const end = progress.over ? undefined : checked(progress.at, next, value)
          if (end !== undefined) return end
          value = next as Value
        }
        return { value, because: '' }
      },
      (at) => failed(at, 'timedOut'),
    )
  }

  return fall
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

/** Where an asynchronous chain stands; `over` tells it that nobody waits any more. */
interface Progress {
  at: number
  over: boolean
}

/** The answer of `work`, or after `timeoutMs` that of `late`, with the index of the plugin that was being asked. */
function within<Answer>(
  timeoutMs: number,
  from: number,
  work: (progress: Progress) => Promise<Answer>,
  late: (at: number) => Answer,
): Promise<Answer> {
  const progress: Progress = { at: from, over: false }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      progress.over = true
      resolve(late(progress.at))
    }, timeoutMs)
    work(progress)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer))
  })
}

function deny(because: string): Decision {
  return Object.freeze({ allow: false, because })
}

function refuse(because: string): { readonly deny: string } {
  return Object.freeze({ deny: because })
}

function swallow(promise: Promise<unknown>): void {
  promise.then(undefined, () => undefined)
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
