// How the plugins of one question are asked, one after the other: what goes wrong with one of them is "no".
import type { HookName } from './plugin.ts'

/** The refusal of a question that every plugin passed on. */
export const noPluginAnswered = 'no plugin answered'

/** One plugin in the chain of one hook. */
export interface Link<Hook> {
  readonly plugin: string
  readonly hook: HookName
  readonly call: Hook
  /** Made once: these are the constants that a refusal carries. */
  readonly failed: Readonly<Record<Failure, string>>
}

export type Failure = 'threw' | 'timedOut' | 'malformed' | 'dropped'

export type Report = (link: Link<unknown>, failure: Failure, error?: unknown) => void

export type FirstCall<First, Second, Answer> = (
  first: First,
  second: Second,
) => Answer | undefined | Promise<Answer | undefined>

/**
 * First hooks: asked in order until one answers. No answer, a throw, a malformed or a late answer is `no`, which is told
 * what failed; undefined: nothing did.
 */
export function createFirst<First, Second, Answer>(
  links: readonly Link<FirstCall<First, Second, Answer>>[],
  isAnswer: (answer: unknown) => boolean,
  no: (because: string, failure?: Failure) => Answer,
  timeoutMs: number,
  report: Report,
): (first: First, second: Second) => Answer | Promise<Answer> {
  const nobody = no(noPluginAnswered)
  const refusals = links.map((link) => ({
    threw: no(link.failed.threw, 'threw'),
    timedOut: no(link.failed.timedOut, 'timedOut'),
    malformed: no(link.failed.malformed, 'malformed'),
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
export interface Landed<Value> {
  readonly value: Value | null
  readonly because: string
  /** A plugin failed: nobody has said "no". */
  readonly failed?: boolean
}

/** Waterfall hooks: each gets what the one before returned. Null, a throw, a malformed or a late value is null. */
export function createWaterfall<Value, Second>(
  links: readonly Link<WaterfallCall<Value, Second>>[],
  isValue: (value: unknown) => boolean,
  timeoutMs: number,
  report: Report,
): (value: Value, second: Second) => Landed<Value> | Promise<Landed<Value>> {
  function failed(at: number, failure: 'threw' | 'timedOut' | 'malformed', error?: unknown): Landed<Value> {
    report(links[at]!, failure, error)
    return { value: null, because: links[at]!.failed[failure], failed: true }
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

export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
