// Stock clients of three makers, each in MQTT 3.1.1 and 5: log in, each QoS there and back, retained, will, properties,
// and a session that is found again. `mqtt` is for JavaScript, mosquitto for C, Eclipse Paho for Python.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startBroker, temporaryFolder } from '../helpers/broker.ts'
import { connectClient } from '../helpers/client.ts'

const deadline = { timeout: 60_000 }

/** Runs a program to its end; its output, or an error with it. */
async function run(t: TestContext, program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${program} ended with ${code}:\n${output}`)
  return output
}

const pahoScript = `
import sys, threading
import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.packettypes import PacketTypes

port, level = int(sys.argv[1]), int(sys.argv[2])
protocol = mqtt.MQTTv5 if level == 5 else mqtt.MQTTv311
events = []
changed = threading.Condition()

def note(*event):
    with changed:
        events.append(event)
        changed.notify_all()

def wait(test):
    with changed:
        assert changed.wait_for(lambda: any(test(event) for event in events), 10), events

def make(name, clean=True):
    more = {} if level == 5 else {'clean_session': clean}
    client = mqtt.Client(name, protocol=protocol, **more)
    client.on_connect = lambda c, u, flags, code, props=None: note('connack', name, int(flags['session present']), int(getattr(code, 'value', code)))
    client.on_subscribe = lambda c, u, mid, codes, props=None: note('suback', name, mid)
    client.on_publish = lambda c, u, mid: note('published', name, mid)
    client.on_message = lambda c, u, m: note('message', name, m.topic, m.payload.decode(), m.qos, int(m.retain), getattr(getattr(m, 'properties', None), 'UserProperty', None))
    return client

def connect(client, clean=True):
    if level != 5:
        client.connect('127.0.0.1', port)
    else:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0 if clean else 60
        client.connect('127.0.0.1', port, clean_start=clean, properties=properties)
    client.loop_start()

def stop(client):
    client.disconnect()
    client.loop_stop()

sub = make('paho-sub', clean=False)
connect(sub, clean=False)
wait(lambda e: e[:2] == ('connack', 'paho-sub'))
_, mid = sub.subscribe('paho/#', 2)
wait(lambda e: e == ('suback', 'paho-sub', mid))

pub = make('paho-pub')
pub.will_set('paho/will', 'gone', qos=1)
connect(pub)
wait(lambda e: e[:2] == ('connack', 'paho-pub'))
for qos in (0, 1, 2):
    properties = None
    if level == 5:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [('a', '1'), ('a', '2')]
    info = pub.publish('paho/%d' % qos, 'hello %d' % qos, qos=qos, properties=properties)
    wait(lambda e: e == ('published', 'paho-pub', info.mid))
    wait(lambda e: e[:5] == ('message', 'paho-sub', 'paho/%d' % qos, 'hello %d' % qos, qos) and (level != 5 or e[6] == [('a', '1'), ('a', '2')]))

stop(sub)
info = pub.publish('paho/away', 'missed', qos=1)
wait(lambda e: e == ('published', 'paho-pub', info.mid))
again = make('paho-sub', clean=False)
connect(again, clean=False)
wait(lambda e: e == ('connack', 'paho-sub', 1, 0))
wait(lambda e: e[:4] == ('message', 'paho-sub', 'paho/away', 'missed'))

pub.publish('paho/state', 'on', qos=1, retain=True).wait_for_publish()
late = make('paho-late')
connect(late)
wait(lambda e: e[:2] == ('connack', 'paho-late'))
late.subscribe('paho/state', 1)
wait(lambda e: e[:6] == ('message', 'paho-late', 'paho/state', 'on', 1, 1))

pub.loop_stop()
pub._sock_close()
wait(lambda e: e[:4] == ('message', 'paho-sub', 'paho/will', 'gone'))
stop(late)
stop(again)
print('all well')
`

for (const level of [4, 5] as const) {
  test(`interop: Eclipse Paho for Python works over protocol level ${level}`, deadline, async (t) => {
    const broker = await startBroker(t)
    const script = join(await temporaryFolder(t), 'interop.py')
    await writeFile(script, pahoScript)
    assert.match(await run(t, '/usr/bin/python3', [script, String(broker.port()), String(level)]), /all well/)
  })

  test(`interop: mosquitto_pub and mosquitto_sub work over protocol level ${level}`, deadline, async (t) => {
    const broker = await startBroker(t)
    const watcher = await connectClient(t, broker.url(), { protocolVersion: 5 })
    await watcher.client.subscribeAsync('mosquitto/#', { qos: 2 })
    const common = ['-p', String(broker.port()), '-V', level === 5 ? 'mqttv5' : 'mqttv311']
    const properties = level === 5 ? ['-D', 'publish', 'user-property', 'a', '1'] : []
    for (const qos of ['0', '1', '2']) {
      await run(t, 'mosquitto_pub', [
        ...common,
        '-t',
        `mosquitto/${qos}`,
        '-q',
        qos,
        '-r',
        '-m',
        `hello ${qos}`,
        ...properties,
      ])
    }
    const seen = await watcher.messages(3)
    assert.deepEqual(
      seen.map(({ topic, text, packet }) => [topic, text, packet.qos]),
      [
        ['mosquitto/0', 'hello 0', 0],
        ['mosquitto/1', 'hello 1', 1],
        ['mosquitto/2', 'hello 2', 2],
      ],
    )
    if (level === 5) assert.equal(seen[2]?.packet.properties?.userProperties?.a, '1')
    const retained = await run(t, 'mosquitto_sub', [
      ...common,
      '-t',
      'mosquitto/+',
      '-q',
      '2',
      '-C',
      '3',
      '-F',
      '%t %p %q %r',
    ])
    assert.deepEqual(retained.trim().split('\n').sort(), [
      'mosquitto/0 hello 0 0 1',
      'mosquitto/1 hello 1 1 1',
      'mosquitto/2 hello 2 2 1',
    ])
  })

  test(`interop: mqtt for JavaScript works over protocol level ${level}`, deadline, async (t) => {
    const broker = await startBroker(t)
    const session = level === 5 ? { properties: { sessionExpiryInterval: 60 } } : {}
    const options = { clientId: 'js', clean: false, protocolVersion: level, ...session }
    const first = await connectClient(t, broker.url(), options)
    await first.client.subscribeAsync('js/#', { qos: 2 })
    for (const qos of [0, 1, 2] as const) await first.client.publishAsync(`js/${qos}`, 'hello', { qos })
    assert.deepEqual(
      (await first.messages(3)).map(({ packet }) => packet.qos),
      [0, 1, 2],
    )
    await first.end()
    const other = await connectClient(t, broker.url('ws'), { protocolVersion: level })
    await other.client.publishAsync('js/away', 'missed', { qos: 2 })
    const again = await connectClient(t, broker.url(), options)
    assert.deepEqual(
      (await again.messages(1)).map(({ text }) => text),
      ['missed'],
    )
  })
}
