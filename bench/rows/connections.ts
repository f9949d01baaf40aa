// Issue 5: what a connection costs while nothing happens, and how fast they come.
import { startAedes } from '../brokers/aedes.ts'
import type { StartBroker } from '../brokers/broker.ts'
import { startMosquitto } from '../brokers/mosquitto.ts'
import { startOriole } from '../brokers/oriole.ts'
import { settled } from '../resident.ts'
import type { Row, Side } from '../row.ts'
import { mosquitto, oriole } from './sides.ts'

/** Connected first, so that what a process needs for any load at all is not counted. */
const first = 1_000
const idle = 5_000
const hold = ['--inbox', '--filters', '2', '--keepalive', '600']
const logins = ['--mode', 'connect', '--subscribers', '50', '--user', 'user', '--users', '50']

export const connectionRows: readonly Row[] = [
  {
    name: 'idle',
    issue: 5,
    work: 'idle connection, logged in, 2 filters, keepalive on: resident memory',
    figure: 'bytesEach',
    sides: [
      idleSide('Oriole', startOriole),
      idleSide('aedes', startAedes, true),
      idleSide('mosquitto', startMosquitto, true),
    ],
    targets: [{ kind: 'atMost', of: 'Oriole', value: 10_000 }],
    roundsMax: 1,
  },
  {
    name: 'connects',
    issue: 5,
    work: 'connects/s with a password, second time',
    figure: 'connectsPerS',
    sides: [oriole(logins), mosquitto(logins)],
    targets: [{ kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 1 }],
  },
]

function idleSide(name: string, start: StartBroker, peer = false): Side {
  return {
    name,
    peer,
    async measure(bench, scope) {
      const broker = await start(bench, scope)
      await bench.generator.hold(scope, broker, [...hold, '--subscribers', String(first)])
      const before = await settled(broker.pid)
      await bench.generator.hold(scope, broker, [...hold, '--subscribers', String(idle)])
      const after = await settled(broker.pid)
      return { figures: { bytesEach: (after - before) / idle, residentMB: after / 1e6 } }
    },
  }
}
