// Issue 5: what a connection costs while nothing happens, and how fast they come.
import { startAedes } from '../brokers/aedes.ts'
import type { RunningBroker, StartBroker } from '../brokers/broker.ts'
import { startMosquitto } from '../brokers/mosquitto.ts'
import { startOriole } from '../brokers/oriole.ts'
import { collected, settled } from '../resident.ts'
import type { Row, Side } from '../row.ts'
import { mosquitto, oriole } from './sides.ts'

/** Connected first, so that what a process needs for any load at all is not counted. */
const first = 1_000
const idle = 5_000
/** And works for a while: the memory that any work takes into use, V8's young generation most of all, is not counted either. */
const work = ['--mode', 'pair', '--publishers', '50', '--qos', '0', '--seconds', '3']
const hold = ['--inbox', '--filters', '2', '--keepalive', '600']
const logins = ['--mode', 'connect', '--subscribers', '50', '--user', 'user', '--users', '50']

export const connectionRows: readonly Row[] = [
  {
    name: 'idle',
    issue: 5,
    work: 'idle connection, logged in, 2 filters, keepalive on: resident memory',
    figure: 'bytesEach',
    // The target is about what a machine must have: the first side. The aedes of the issue (15.5 kB) is measured so, too.
    sides: [
      idleSide('Oriole', startOriole, settled),
      { ...idleSide('aedes', startAedes, settled), peer: true },
      { ...idleSide('mosquitto', startMosquitto, settled), peer: true },
      idleSide('Oriole, garbage collected', startOriole, collected),
      { ...idleSide('aedes, garbage collected', startAedes, collected), peer: true },
    ],
    targets: [{ kind: 'atMost', of: 'Oriole', value: 10_000 }],
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

function idleSide(name: string, start: StartBroker, look: (broker: RunningBroker) => Promise<number>): Side {
  return {
    name,
    async measure(bench, scope) {
      const broker = await start(bench, scope)
      await bench.generator.hold(scope, broker, [...hold, '--subscribers', String(first)])
      await bench.generator.load(scope, broker, work)
      const before = await look(broker)
      await bench.generator.hold(scope, broker, [...hold, '--subscribers', String(idle)])
      const after = await look(broker)
      return { figures: { bytesEach: (after - before) / idle, residentMB: after / 1e6 } }
    },
  }
}
