// The shapes that answers of plugins must have; what has another shape counts as "no".
import { filterProblem, isValidTopicName } from './protocol/topics.ts'

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

export function isAuthenticateAnswer(answer: unknown): boolean {
  if (!isObject(answer)) return false
  return 'deny' in answer ? isDenial(answer) : isIdentity(answer.identity)
}

function isDenial({ deny, busy, serverReference }: Record<string, unknown>): boolean {
  return (
    typeof deny === 'string' &&
    (busy === undefined || typeof busy === 'boolean') &&
    (serverReference === undefined || (typeof serverReference === 'string' && serverReference.length <= 1_024))
  )
}

export function isExchangeAnswer(answer: unknown): boolean {
  if (!isObject(answer)) return false
  if ('deny' in answer) return isDenial(answer)
  if ('challenge' in answer) {
    return Buffer.isBuffer(answer.challenge) && (answer.username === undefined || typeof answer.username === 'string')
  }
  return isIdentity(answer.identity) && (answer.data === undefined || Buffer.isBuffer(answer.data))
}

export function isIdentity(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.username === 'string' &&
    isStrings(value.groups) &&
    isStrings(value.roles) &&
    isObject(value.attributes) &&
    isStrings(Object.values(value.attributes)) &&
    (value.expiresAt === undefined || Number.isFinite(value.expiresAt)) &&
    (value.rules === undefined || (Array.isArray(value.rules) && value.rules.every(isObject))) &&
    (value.subscriptions === undefined || isSubscriptions(value.subscriptions))
  )
}

function isSubscriptions(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every((one) => isObject(one) && isQos(one.qos) && typeof one.filter === 'string' && isFilter(one.filter))
  )
}

function isFilter(filter: string): boolean {
  return filterProblem(filter) === undefined
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

export function isDecision(answer: unknown): boolean {
  return isObject(answer) && typeof answer.allow === 'boolean' && typeof answer.because === 'string'
}

export function isSubscribeDecision(answer: unknown): boolean {
  if (!isDecision(answer)) return false
  const { maxQos, withhold } = answer as unknown as Record<string, unknown>
  return (maxQos === undefined || isQos(maxQos)) && (withhold === undefined || typeof withhold === 'function')
}

function isQos(value: unknown): boolean {
  return value === 0 || value === 1 || value === 2
}

/** A plugin may change a message, but what it returns goes on the wire and into the log. */
export function isMessage(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.topic === 'string' &&
    isValidTopicName(value.topic) &&
    Buffer.isBuffer(value.payload) &&
    isQos(value.qos) &&
    typeof value.retain === 'boolean' &&
    (value.properties === undefined || isObject(value.properties)) &&
    typeof value.clientId === 'string' &&
    typeof value.username === 'string' &&
    typeof value.publishedAt === 'number' &&
    (value.expiresAt === undefined || typeof value.expiresAt === 'number')
  )
}
