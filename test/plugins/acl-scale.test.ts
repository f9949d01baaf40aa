// 10,000 users, 2,000 groups and 5,000 rules: how long a start takes, and that a change of one line holds up nobody. Measured
// in time of the processor, because that of the clock is the other tests' too, and against what the YAML library alone needs for
// these files, because processors differ. docs/access.md has what it printed on a free core.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { groupLines, ruleLines, userLines } from '../../bench/access-files.ts'
import { makeToken } from '../../broker/password.ts'
import { clientOf, load } from '../helpers/plugins.ts'
import { processorMs } from '../helpers/processor-time.ts'
import { watchTurns } from '../helpers/turns.ts'

const deadline = { timeout: 120_000 }

const usersText = `${userLines.join('\n')}\n`
const changedGroups = [...groupLines]
const changedRules = [...ruleLines]

test(
  'acl scale: loaded quicker than the YAML library reads, and one changed line is in use before anybody notices',
  deadline,
  async (t) => {
    const texts = [usersText, groupLines.join('\n'), ruleLines.join('\n')]
    const parsing = processorMs()
    for (const text of texts) parse(text)
    const parsedMs = processorMs() - parsing
    const started = processorMs()
    const { hooks, folder, clients, asked, log } = await load(t, {
      'oriole.yaml': `plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
`,
      'users.yaml': usersText,
      'groups.yaml': `${groupLines.join('\n')}\n`,
      'acl.yaml': `${ruleLines.join('\n')}\n`,
    })
    const loadedMs = processorMs() - started

    const member = clientOf('member100', { groups: ['g19', 'g20'] })
    clients.push(member)
    const may = async (topic: string) =>
      (await hooks.authorizePublish(member, { topic, qos: 1, retain: false, will: false })).allow
    assert.equal(await may('g/g20/4021/member100'), false)

    const figures: { file: string; heldUpMs: number; afterMs: number }[] = []
    const change = async (file: string, content: string) => {
      const lines = new Set(log.lines)
      await writeFile(join(folder, file), content)
      const heldUp = watchTurns()
      const from = performance.now()
      await log.until((line) => line.phrase === 'changed file is in use' && !lines.has(line))
      figures.push({ file, heldUpMs: heldUp(), afterMs: performance.now() - from })
    }
    for (let round = 0; round < 5; round++) {
      changedRules[4_999] = `- allow: { groups: [g20], publish: ["g/{group}/new${round}/{user}"] }`
      await change('acl.yaml', `${changedRules.join('\n')}\n`)
      assert.equal(await may(`g/g20/new${round}/member100`), true)
      changedGroups[1_000] = `g1000: { members: [member${round}] }`
      await change('groups.yaml', `${changedGroups.join('\n')}\n`)
      await change('users.yaml', `${usersText}extra${round}: "${makeToken().hash}"\n`)
    }
    assert.ok(asked.length >= 3)
    t.diagnostic(
      `loaded in ${loadedMs.toFixed()} ms of the processor; the YAML library alone needs ${parsedMs.toFixed()} ms`,
    )
    for (const { file, heldUpMs, afterMs } of figures) {
      t.diagnostic(
        `one line of ${file}: in use ${afterMs.toFixed()} ms by the clock after it was written, the loop was held up ${heldUpMs.toFixed(1)} ms at most`,
      )
    }
    assert.ok(loadedMs < parsedMs, `loaded in ${loadedMs} ms, parsed in ${parsedMs} ms`)
    // The first changes are read by code that is not compiled yet: of five rounds the best counts.
    for (const file of ['acl.yaml', 'groups.yaml', 'users.yaml']) {
      const best = Math.min(...figures.filter((one) => one.file === file).map(({ heldUpMs }) => heldUpMs))
      assert.ok(best < parsedMs / 80, `${file}: the loop was held up ${best} ms, parsed in ${parsedMs} ms`)
    }
  },
)
