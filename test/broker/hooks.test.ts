// The hook runner: order, kinds, and that every way in which a plugin can go wrong ends in "no".
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHooks } from '../../broker/hooks.ts'
import type { Message } from '../../broker/message.ts'
import type { ClientInfo, Credentials, Decision, Hooks, Identity } from '../../broker/plugin.ts'

const deadline = { timeout: 10_000 }

const identity: Identity = { username: 'alice', groups: [], roles: [], attributes: {} }
const client: ClientInfo = {
  id: 'phone',
  identity,
  address: '127.0.0.1',
  listener: 'tcp',
  protocolVersion: 5,
  cleanStart: true,
  connectedAt: 0,
}
const credentials: Credentials = {
  clientId: 'phone',
  username: 'alice',
  password: Buffer.from('secret'),
  address: '127.0.0.1',
  listener: 'tcp',
  certificate: undefined,
  protocolVersion: 5,
}
const message: Message = {
  topic: 'a/b',
  payload: Buffer.from('x'),
  qos: 1,
  retain: false,
  properties: undefined,
  clientId: 'phone',
  username: 'alice',
  publishedAt: 1,
  expiresAt: undefined,
}
const question = { topic: 'a/b', qos: 1, retain: false, will: false } as const
const filterQuestion = { filter: 'a/#', qos: 1, share: undefined } as const
const yes: Decision = { allow: true, because: 'yes' }

/** Plugins p1, p2 … with these hooks, and what the runner reported. */
function runner(...hooks: Partial<Hooks>[]) {
  const errors: string[] = []
  const lines: object[] = []
  const line = (fields: object, phrase: string) => void lines.push({ ...fields, phrase })
  const run = createHooks(
    hooks.map((each, index) => ({ name: `p${index + 1}`, hooks: each })),
    {
      timeoutMs: 30,
      log: { debug: line, info: line, warn: line, error: line },
      onPluginError: (plugin) => void errors.push(plugin),
    },
  )
  return { run, errors, lines }
}

/** A hook that answers with what no compiler would let through. */
function wrong(answer: unknown): never {
  return (() => answer) as never
}

/** Notes that it was asked, and answers. */
function noting<Answer>(asked: string[], name: string, answer: Answer): () => Answer {
  return () => {
    asked.push(name)
    return answer
  }
}

const never = () => new Promise<never>(() => undefined)

test('hooks: no plugin at all is no to every question', deadline, async () => {
  const { run } = runner()
  assert.deepEqual(await run.authenticate(credentials), { deny: 'no plugin answered' })
  assert.deepEqual(run.authorizePublish(client, question), { allow: false, because: 'no plugin answered' })
  assert.deepEqual(run.authorizeSubscribe(client, filterQuestion), { allow: false, because: 'no plugin answered' })
})

test('hooks: a hook that nobody registered is undefined', deadline, () => {
  const { run } = runner({ authorizePublish: () => yes })
  for (const name of ['onPublish', 'onDeliver', 'onConnected', 'onDelivered', 'onDropped'] as const) {
    assert.equal(run[name], undefined, name)
  }
})

test('hooks: the first answer in config order wins and the rest is not asked', deadline, async () => {
  const asked: string[] = []
  const { run } = runner(
    { authorizePublish: noting(asked, 'p1', undefined) },
    { authorizePublish: noting(asked, 'p2', yes) },
    { authorizePublish: noting(asked, 'p3', { allow: false, because: 'no' }) },
  )
  assert.equal(run.authorizePublish(client, question), yes)
  assert.deepEqual(asked, ['p1', 'p2'])
})

test('hooks: a synchronous answer stays synchronous and is the very object of the plugin', deadline, () => {
  const { run } = runner({ authorizePublish: () => yes })
  assert.equal(run.authorizePublish(client, question), yes)
})

test('hooks: an asynchronous "no answer" goes on to the next plugin', deadline, async () => {
  const { run } = runner(
    { authorizeSubscribe: async () => undefined },
    { authorizeSubscribe: () => undefined },
    { authorizeSubscribe: async () => ({ allow: true, because: 'third', maxQos: 1 }) },
  )
  assert.deepEqual(await run.authorizeSubscribe(client, filterQuestion), {
    allow: true,
    because: 'third',
    maxQos: 1,
  })
})

const failures = {
  'a throw': {
    hook: () => {
      throw new Error('broken')
    },
    because: 'failed',
  },
  'a rejection': { hook: () => Promise.reject(new Error('broken')), because: 'failed' },
  'no answer in time': { hook: never, because: 'gave no answer in time' },
  'a malformed answer': { hook: wrong({ allow: 'yes' }), because: 'gave a malformed answer' },
  'a malformed answer that comes later': { hook: wrong(Promise.resolve(null)), because: 'gave a malformed answer' },
  null: { hook: wrong(null), because: 'gave a malformed answer' },
}

for (const [what, { hook, because }] of Object.entries(failures)) {
  test(`hooks: ${what} is no, names the plugin, is counted, and the next plugin is not asked`, deadline, async () => {
    for (const name of ['authorizePublish', 'authorizeSubscribe'] as const) {
      const { run, errors, lines } = runner({}, { [name]: hook }, { [name]: () => yes })
      const decision = await run[name](client, { ...question, ...filterQuestion })
      assert.deepEqual(decision, { allow: false, because: `p2: ${name} ${because}`, failed: true })
      assert.deepEqual(errors, ['p2'])
      assert.equal(lines.length, 1)
    }
    const { run, errors } = runner({ authenticate: hook as never }, { authenticate: () => ({ identity }) })
    assert.deepEqual(await run.authenticate(credentials), { deny: `p1: authenticate ${because}`, busy: true })
    assert.deepEqual(errors, ['p1'])
  })
}

test(
  'hooks: the time limit holds for the whole chain, and a late plugin is not followed by the next',
  deadline,
  async () => {
    const asked: string[] = []
    let release: (() => void) | undefined
    const { run } = runner(
      { authorizePublish: () => new Promise((resolve) => setTimeout(() => resolve(undefined), 20)) },
      {
        authorizePublish: () =>
          new Promise((resolve) => {
            release = () => resolve(undefined)
          }),
      },
      { authorizePublish: noting(asked, 'p3', yes) },
    )
    const decision = await run.authorizePublish(client, question)
    assert.equal(decision.because, 'p2: authorizePublish gave no answer in time')
    release?.()
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(asked, [])
  },
)

test('hooks: a subscribe decision with a wrong maxQos or withhold is malformed', deadline, async () => {
  for (const extra of [{ maxQos: 3 }, { withhold: 'im/#' }]) {
    const { run } = runner({ authorizeSubscribe: wrong({ ...yes, ...extra }) })
    assert.equal((await run.authorizeSubscribe(client, filterQuestion)).allow, false)
  }
})

test('hooks: identify passes the identity from plugin to plugin', deadline, async () => {
  const { run } = runner(
    { authenticate: () => ({ identity }) },
    { identify: (one) => ({ ...one, groups: [...one.groups, 'family'] }) },
    { identify: async (one) => ({ ...one, groups: [...one.groups, 'ops'] }) },
    { identify: (one) => ({ ...one, roles: one.groups }) },
  )
  assert.deepEqual(await run.authenticate(credentials), {
    identity: { ...identity, groups: ['family', 'ops'], roles: ['family', 'ops'] },
  })
})

test('hooks: an identify that refuses, throws, is late or is malformed denies', deadline, async () => {
  const cases = {
    refused: () => null,
    failed: () => {
      throw new Error('broken')
    },
    'gave no answer in time': never,
    'gave a malformed answer': wrong({ username: 7 }),
  }
  for (const [because, identify] of Object.entries(cases)) {
    const { run } = runner({ authenticate: () => ({ identity }), identify }, { identify: (one) => one })
    const busy = because === 'refused' ? {} : { busy: true }
    assert.deepEqual(await run.authenticate(credentials), { deny: `p1: identify ${because}`, ...busy })
  }
})

test('hooks: identify is not asked after a refusal', deadline, async () => {
  const { run } = runner({ authenticate: () => ({ deny: 'wrong password' }), identify: () => identity })
  assert.deepEqual(await run.authenticate(credentials), { deny: 'wrong password' })
})

test('hooks: onPublish may change and may drop, and a synchronous chain stays synchronous', deadline, async () => {
  const { run } = runner(
    { onPublish: (one) => ({ ...one, payload: Buffer.from('changed') }) },
    { onPublish: (one) => (one.topic === 'drop' ? null : one) },
  )
  const changed = run.onPublish!(message, client) as Message
  assert.equal(changed.payload.toString(), 'changed')
  assert.equal(run.onPublish!({ ...message, topic: 'drop' }, client), null)
})

test(
  'hooks: an onPublish that throws, is late or returns no proper message drops it and is counted',
  deadline,
  async () => {
    const cases: Hooks['onPublish'][] = [
      () => {
        throw new Error('broken')
      },
      () => Promise.reject(new Error('broken')),
      never,
      wrong({ ...message, topic: 'a/#' }),
      wrong({ ...message, payload: 'text' }),
      wrong(Promise.resolve({ topic: 'a' })),
      wrong(undefined),
    ]
    for (const onPublish of cases) {
      const { run, errors } = runner({ onPublish }, { onPublish: (one) => one })
      assert.equal(await run.onPublish!(message, client), null)
      assert.deepEqual(errors, ['p1'])
    }
  },
)

test('hooks: an onDeliver that throws or answers with a promise drops this delivery', deadline, () => {
  const cases: Hooks['onDeliver'][] = [
    () => {
      throw new Error('broken')
    },
    wrong(Promise.resolve(message)),
    wrong(Promise.reject(new Error('never seen'))),
  ]
  for (const onDeliver of cases) {
    const { run, errors } = runner({ onDeliver })
    assert.equal(run.onDeliver!(message, client), null)
    assert.deepEqual(errors, ['p1'])
  }
})

test('hooks: an observer that throws or rejects changes nothing and the next one is told', deadline, async () => {
  const told: unknown[][] = []
  const { run, errors } = runner(
    {
      onDropped: () => {
        throw new Error('broken')
      },
    },
    { onDropped: () => Promise.reject(new Error('broken')) },
    { onDropped: (...all) => void told.push(all) },
  )
  run.onDropped!(message, 'phone', 'queue full')
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(told, [[message, 'phone', 'queue full']])
  assert.deepEqual(errors, ['p1', 'p2'])
})

test('hooks: a plugin that fails at every message is counted each time and logged once a second', deadline, () => {
  const { run, errors, lines } = runner({
    onDeliver: () => {
      throw new Error('broken')
    },
  })
  for (let sent = 0; sent < 1_000; sent++) run.onDeliver!(message, client)
  assert.equal(errors.length, 1_000)
  assert.ok(lines.length <= 3, `${lines.length} lines`)
  assert.deepEqual(lines[0], {
    plugin: 'p1',
    hook: 'onDeliver',
    failure: 'threw',
    error: 'broken',
    phrase: 'plugin failed',
  })
})

test('hooks: a hook keeps its `this`', deadline, () => {
  class Rules {
    readonly decision = yes
    authorizePublish(): Decision {
      return this.decision
    }
  }
  const { run } = runner(new Rules())
  assert.equal(run.authorizePublish(client, question), yes)
})

test(
  'hooks: a step of an exchange is answered by the first plugin that knows the method, and goes through identify',
  deadline,
  async () => {
    const step = { ...credentials, method: 'M', data: undefined, state: 1, client: undefined }
    const data = Buffer.from('proof')
    const { run } = runner(
      { authenticateExchange: () => undefined },
      { authenticateExchange: async ({ state }) => ({ identity: { ...identity, roles: [String(state)] }, data }) },
      { identify: (one) => ({ ...one, groups: ['g'] }) },
    )
    assert.deepEqual(await run.authenticateExchange(step), {
      identity: { ...identity, roles: ['1'], groups: ['g'] },
      data,
    })
    const asks = { challenge: data, state: 2, username: 'alice' }
    assert.equal(await runner({ authenticateExchange: () => asks }).run.authenticateExchange(step), asks)
    assert.deepEqual(await runner().run.authenticateExchange(step), { deny: 'no plugin answered' })
    for (const answer of [
      { challenge: 'text' },
      { ...asks, username: 1 },
      { identity: 1 },
      { identity, data: 'text' },
    ]) {
      const { run: broken } = runner({ authenticateExchange: wrong(answer) })
      assert.deepEqual(await broken.authenticateExchange(step), {
        deny: 'p1: authenticateExchange gave a malformed answer',
        busy: true,
      })
    }
    const dropping = runner({ authenticateExchange: () => ({ identity }) }, { identify: () => null })
    assert.deepEqual(await dropping.run.authenticateExchange(step), { deny: 'p2: identify refused' })
  },
)
