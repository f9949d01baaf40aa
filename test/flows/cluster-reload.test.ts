// `oriole reload` of one node reloads all of them, each with its own files.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'
import { clusterKey } from '../helpers/cluster-node.ts'
import { runCommand } from '../helpers/command.ts'
import { startRedis } from '../helpers/redis.ts'

const timeout = 60_000

async function startNode(t: TestContext, node: string, redisUrl: string) {
  const folder = await temporaryFolder(t)
  const setRules = (rules: string) => writeFile(join(folder, 'acl.yaml'), rules)
  await setRules('- allow: { publish: [before] }\n')
  const config = `
node: ${node}
listeners: [{ name: tcp, type: tcp, port: 0 }]
store: { type: level, path: ${join(folder, 'data')}, durability: os }
admin: { enabled: false }
plugins: [auth-anonymous, { acl-file: { rules: acl.yaml } }]
cluster: { key: "${clusterKey}", redis: { url: "${redisUrl}" } }
`
  const broker = await startBroker(t, config, folder)
  const { client } = await connectClient(t, broker.url(), { protocolVersion: 5, clientId: `at-${node}` })
  const may = (topic: string) =>
    client.publishAsync(topic, '', { qos: 1 }).then(
      () => true,
      () => false,
    )
  return { folder, setRules, may }
}

test('cluster reload: asked of one node, each node takes its own files and says what came of it', {
  timeout,
}, async (t) => {
  const redis = await startRedis(t)
  const a = await startNode(t, 'a', redis.url)
  const b = await startNode(t, 'b', redis.url)
  const reload = () => runCommand(t, ['reload', '--data', join(a.folder, 'data')])
  assert.deepEqual([await a.may('before'), await b.may('before')], [true, true])

  for (const node of [a, b]) await node.setRules('- allow: { publish: [after] }\n')
  const good = await reload()
  assert.equal(good.exitCode, 0, good.stderr)
  // Whether the node saw it by itself just before or was told makes no difference.
  assert.match(good.stdout, /^node b: (?:.*acl\.yaml is in use|nothing changed)$/m)
  assert.deepEqual(
    [await a.may('before'), await b.may('before'), await a.may('after'), await b.may('after')],
    [false, false, true, true],
  )

  await b.setRules('- allow: { publsh: [before] }\n')
  const broken = await reload()
  assert.equal(broken.exitCode, 1)
  assert.match(
    broken.stdout,
    /^node b: .*acl\.yaml:1:12: 0\.allow\.publsh: is not a setting; did you mean "publish"\?$/m,
  )
  assert.equal(await b.may('after'), true)
})
