// Issue 5: messages from one to one, one to many, many to one, and over other carriers.
import type { RunningBroker } from '../brokers/broker.ts'
import { Unavailable } from '../programs.ts'
import type { Bench, Row, Side } from '../row.ts'
import { scoped } from '../scope.ts'
import { aedes, type MakeSide, mosquitto, oriole, orioleAs } from './sides.ts'

const pairs = ['--mode', 'pair', '--publishers', '50', '--qos', '0']
const pairsQos1 = ['--mode', 'pair', '--publishers', '50', '--qos', '1']
const fanout = ['--mode', 'fanout', '--subscribers', '500', '--qos', '0']
const fanoutQos1 = ['--mode', 'fanout', '--subscribers', '500', '--qos', '1']
const fanin = ['--mode', 'fanin', '--publishers', '100', '--subscribers', '1', '--qos', '0']

const holders = 200
const filtersOfEach = 500

export const deliveryRows: readonly Row[] = [
  {
    name: 'pairs',
    issue: 5,
    work: '50 pairs, QoS 0',
    figure: 'deliveredPerS',
    sides: [oriole(pairs), mosquitto(pairs), aedes(pairs)],
    targets: [
      { kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 1.2 },
      { kind: 'ratio', of: 'Oriole', to: 'aedes', atLeast: 2.4 },
    ],
  },
  {
    name: 'fanout',
    issue: 5,
    work: '1 to 500, QoS 0',
    figure: 'deliveredPerS',
    sides: [oriole(fanout), mosquitto(fanout), aedes(fanout)],
    targets: [
      { kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 9 },
      { kind: 'ratio', of: 'Oriole', to: 'aedes', atLeast: 23 },
    ],
  },
  {
    name: 'fanout-qos1',
    issue: 5,
    work: '1 to 500, QoS 1',
    figure: 'deliveredPerS',
    sides: [oriole(fanoutQos1), mosquitto(fanoutQos1)],
    targets: [{ kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 5 }],
  },
  {
    name: 'fanin',
    issue: 5,
    work: '100 to 1 (`+` filter), QoS 0',
    figure: 'deliveredPerS',
    sides: [oriole(fanin), mosquitto(fanin), aedes(fanin)],
    targets: [
      { kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 0.8 },
      { kind: 'ratio', of: 'Oriole', to: 'aedes', atLeast: 2 },
    ],
  },
  {
    name: 'pairs-qos1',
    issue: 5,
    work: '50 pairs, QoS 1, clean sessions',
    figure: 'deliveredPerS',
    sides: [oriole(pairsQos1), mosquitto(pairsQos1), aedes(pairsQos1)],
    targets: [
      { kind: 'ratio', of: 'Oriole', to: 'mosquitto', atLeast: 1.5 },
      { kind: 'ratio', of: 'Oriole', to: 'aedes', atLeast: 2.2 },
    ],
  },
  {
    name: 'properties',
    issue: 5,
    work: '50 pairs, QoS 1, over MQTT 5 with two user properties',
    figure: 'deliveredPerS',
    sides: [
      orioleAs('MQTT 3.1.1')(pairsQos1),
      orioleAs('MQTT 5, two properties')([...pairsQos1, '--version', '5', '--user-properties', '2']),
    ],
    targets: [{ kind: 'ratio', of: 'MQTT 5, two properties', to: 'MQTT 3.1.1', atLeast: 0.7 }],
  },
  {
    name: 'carriers',
    issue: 5,
    work: '1 to 500 over WebSocket; over TLS',
    figure: 'deliveredPerS',
    sides: [
      orioleAs('TCP')(fanout),
      orioleAs('WebSocket')([...fanout, '--websocket', '/mqtt'], { more: webSocketPort }),
      orioleAs('TLS')([...fanout, '--tls'], { more: tlsPort }),
    ],
    targets: [
      { kind: 'ratio', of: 'WebSocket', to: 'TCP', atLeast: 0.5 },
      { kind: 'ratio', of: 'TLS', to: 'TCP', atLeast: 0.25 },
    ],
  },
  {
    name: 'paced',
    issue: 5,
    work: '50 pairs, QoS 0, paced at a fifth of its own maximum, p99 latency',
    figure: 'p99Us',
    alsoShown: ['p50Us', 'p999Us', 'deliveredPerS'],
    sides: [pacedSide(oriole), { ...pacedSide(mosquitto), peer: true }],
    targets: [{ kind: 'below', of: 'Oriole', to: 'mosquitto' }],
  },
  {
    name: 'filters',
    issue: 5,
    work: '100,000 different wildcard filters held, 50 pairs, QoS 0',
    figure: 'deliveredPerS',
    sides: [
      orioleAs('without')(pairs),
      orioleAs('100,000 filters')(pairs, {
        before: async (bench, scope, broker) => {
          const args = ['--subscribers', String(holders), '--filters', String(filtersOfEach)]
          await bench.generator.hold(scope, broker, args)
        },
      }),
    ],
    targets: [{ kind: 'ratio', of: '100,000 filters', to: 'without', atLeast: 0.9 }],
  },
]

function webSocketPort({ webSocketPort: port }: RunningBroker): readonly string[] {
  return ['--port', String(port)]
}

function tlsPort({ tlsPort: port }: RunningBroker, bench: Bench): readonly string[] {
  if (!bench.generator.hasTls)
    throw new Unavailable('no TLS in the generator; on Debian: sudo apt-get install libssl-dev')
  if (port === undefined) throw new Unavailable('openssl is not here to make a certificate')
  return ['--port', String(port)]
}

/** Both at the same rate: a fifth of what Oriole reaches when it is not paced. */
function pacedSide(make: MakeSide): Side {
  return {
    name: make([]).name,
    async measure(bench, scope) {
      const maximum = await bench.once('pairs maximum', () => scoped((own) => oriole(pairs).measure(bench, own)))
      const rate = (maximum.figures.deliveredPerS ?? 0) / 5 / 50
      return make([...pairs, '--rate', String(rate), '--window', '10000']).measure(bench, scope)
    },
  }
}
