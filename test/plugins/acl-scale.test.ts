// 10,000 users, 2,000 groups and 5,000 rules: how long a start takes, and that a change of one line holds up nobody.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { makeToken } from '../../broker/password.ts'
import { clientOf, load } from '../helpers/plugins.ts'

const deadline = { timeout: 120_000 }

const users = 10_000
const groups = 2_000
const rules = 5_000

const { hash } = makeToken()
const usersText = lines(users, (n) => `user${n}: { password: "${hash}", attributes: { tenant: t${n % 50} } }`)
const groupLines = Array.from({ length: groups }, (_, n) => {
  const members = Array.from({ length: 10 }, (_, k) => `user${(n * 5 + k) % users}`)
  return `g${n}: { members: [${members.join(', ')}], admins: [user${n}]${n % 10 === 9 ? `, groups: [g${n - 1}]` : ''} }`
})
const ruleLines = Array.from({ length: rules }, (_, n) => {
  if (n < 10) return `- allow: { publish: ["own${n}/{user}/#"], subscribe: ["own${n}/{user}/#"] }`
  if (n % 3 === 0) return `- allow: { users: [user${n}], publish: ["t/${n}/#"], qos: [0, 1] }`
  if (n % 3 === 1)
    return `- allow: { groups: [g${n % groups}], subscribe: ["g/{group}/${n}/#"], publish: ["g/{group}/${n}/{user}"] }`
  return `- deny: { groups: [g${n % groups}], subscribe: ["g/{group}/${n - 1}/secret"] }`
})

function lines(count: number, line: (n: number) => string): string {
  return `${Array.from({ length: count }, (_, n) => line(n)).join('\n')}\n`
}

test(
  'acl scale: loaded in less than two seconds, and one changed line is in use before anybody notices',
  deadline,
  async (t) => {
    const started = performance.now()
    const { hooks, folder, reload, clients, asked } = await load(t, {
      'oriole.yaml': `plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`,
      'users.yaml': usersText,
      'groups.yaml': `${groupLines.join('\n')}\n`,
      'acl.yaml': `${ruleLines.join('\n')}\n`,
    })
    const loadedMs = performance.now() - started

    const member = clientOf('user100', { groups: ['g19', 'g20'] })
    clients.push(member)
    const may = async (topic: string) =>
      (await hooks.authorizePublish(member, { topic, qos: 1, retain: false, will: false })).allow
    assert.equal(await may('g/g20/4021/user100'), false)

    const figures: { file: string; reloadMs: number; blockedMs: number }[] = []
    const change = async (file: string, content: string) => {
      await writeFile(join(folder, file), content)
      const delay = monitorEventLoopDelay({ resolution: 1 })
      await wait(50)
      delay.enable()
      const from = performance.now()
      const { files, changes, problems } = await reload()
      const reloadMs = performance.now() - from
      await wait(20)
      delay.disable()
      assert.deepEqual(problems, [])
      assert.ok(files.length <= 1)
      figures.push({ file, reloadMs, blockedMs: delay.max / 1e6 })
      return changes
    }
    for (let round = 0; round < 3; round++) {
      ruleLines[4_999] = `- allow: { groups: [g20], publish: ["g/{group}/new${round}/{user}"] }`
      await change('acl.yaml', `${ruleLines.join('\n')}\n`)
      assert.equal(await may(`g/g20/new${round}/user100`), true)
      groupLines[1_000] = `g1000: { members: [user${round}] }`
      await change('groups.yaml', `${groupLines.join('\n')}\n`)
      await change('users.yaml', `${usersText}extra${round}: "${hash}"\n`)
    }
    assert.ok(asked.length >= 3)
    // The machine of a test is shared: the bounds are wide, and of three rounds the best counts.
    const best = (file: string, figure: 'reloadMs' | 'blockedMs') =>
      Math.min(...figures.filter((one) => one.file === file).map((one) => one[figure]))
    assert.ok(loadedMs < 4_000, `loaded in ${loadedMs} ms`)
    for (const file of ['acl.yaml', 'groups.yaml', 'users.yaml']) {
      assert.ok(best(file, 'reloadMs') < 400, `${file}: in use after ${best(file, 'reloadMs')} ms`)
      assert.ok(best(file, 'blockedMs') < 60, `${file}: the loop was held up ${best(file, 'blockedMs')} ms`)
    }
    t.diagnostic(`loaded in ${loadedMs.toFixed()} ms`)
    for (const { file, reloadMs, blockedMs } of figures) {
      t.diagnostic(
        `one line of ${file}: in use after ${reloadMs.toFixed()} ms, the loop was held up ${blockedMs.toFixed(1)} ms at most`,
      )
    }
  },
)
