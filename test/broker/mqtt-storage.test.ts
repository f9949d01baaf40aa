// When nothing can be stored: no acknowledgement leaves, everybody is told, and what was refused may be sent again.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { openWith } from '../helpers/open-config.ts'
import { connectRaw, kept, type RawClient, tryConnect } from '../helpers/raw-client.ts'

const run = promisify(execFile)
const large = 'x'.repeat(50_000)

test('storage: a QoS 2 message that a full disk refused is stored when it is sent again', {
  timeout: 60_000,
}, async (t) => {
  const mount = await mkdtemp(join(tmpdir(), 'oriole-full-'))
  if (
    !(await run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', mount]).then(
      () => true,
      () => false,
    ))
  ) {
    await rmdir(mount)
    t.skip('mounting a tmpfs needs root')
    return
  }
  const config = openWith({ folder: mount }).replace('durability: os', 'durability: disk')
  const broker = await startBroker(t, config, await temporaryFolder(t))
  t.after(async () => {
    await broker.stop()
    await run('umount', [mount])
    await rmdir(mount)
  })
  const port = broker.port()
  const away = await connectRaw(t, port, kept('away'))
  await away.subscribe('a', { qos: 2 })
  await away.leave()
  const witness = await connectRaw(t, port, { answers: true })
  await witness.subscribe('a', { qos: 2 })
  const publisher = await connectRaw(t, port, kept('publisher'))
  const { bavail, bsize } = await statfs(mount)
  const ballast = join(mount, 'ballast')
  await writeFile(ballast, Buffer.alloc(bavail * bsize - 1_000_000))

  const acknowledged = await publishUntilRefused(publisher)
  assert.ok(acknowledged > 0)
  // What could not be stored reached nobody.
  assert.equal((await witness.texts(acknowledged)).length, acknowledged)
  await witness.nothing()
  // It is refused in the words of CONNACK, and not with a session that nobody stored.
  const { code, client } = await tryConnect(t, port, kept('new'))
  assert.equal(code, 0x88)
  await client.closed()
  // Who needs no storage is served.
  const live = await connectRaw(t, port)
  await live.subscribe('b', { qos: 1 })
  assert.equal(await (await connectRaw(t, port)).publishAcknowledged('b', 'x'), 0)
  assert.deepEqual(await live.texts(1), ['x'])

  await rm(ballast)
  const again = await connectWhenPossible(t, port)
  again.publish('a', `${acknowledged}${large}`, { qos: 2, messageId: acknowledged + 1, dup: true })
  await again.expect('pubrec')
  const back = await connectRaw(t, port, { ...kept('away'), answers: true })
  const texts = (await back.texts(acknowledged + 1)).map((text) => text.replace(large, ''))
  assert.deepEqual(
    texts,
    Array.from({ length: acknowledged + 1 }, (_, index) => `${index}`),
  )
  await back.nothing()
})

/** How many were acknowledged; the one after them was not, and the broker said goodbye with 0x89. */
async function publishUntilRefused(publisher: RawClient): Promise<number> {
  for (let count = 0; ; count += 1) {
    const messageId = publisher.publish('a', `${count}${large}`, { qos: 2, messageId: count + 1 })
    const answer = await publisher.next()
    if (answer.cmd === 'disconnect') {
      assert.equal(answer.reasonCode, 0x89)
      await publisher.closed()
      return count
    }
    assert.equal(answer.cmd, 'pubrec')
    publisher.send({ cmd: 'pubrel', messageId })
    await publisher.expect('pubcomp')
  }
}

async function connectWhenPossible(t: Parameters<typeof connectRaw>[0], port: number): Promise<RawClient> {
  for (;;) {
    const { client, code } = await tryConnect(t, port, kept('publisher'))
    if (code === 0) return client
    await client.closed()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
