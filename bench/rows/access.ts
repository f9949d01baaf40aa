// Issue 7: what rights cost while messages are delivered.
import type { BrokerOptions } from '../brokers/broker.ts'
import type { Row } from '../row.ts'
import { orioleAs } from './sides.ts'

const pairs = ['--mode', 'pair', '--publishers', '50', '--qos', '0']
const fanout = ['--mode', 'fanout', '--subscribers', '500', '--qos', '1']

export const accessRows: readonly Row[] = [
  rowOf('rules', '50 pairs, QoS 0', pairs),
  rowOf('rules-fanout', '1 to 500, QoS 1', fanout),
]

function rowOf(name: string, load: string, args: readonly string[]): Row {
  const side = (access: BrokerOptions['access'] & string) => orioleAs(access)(args, { broker: { access } })
  return {
    name,
    issue: 7,
    work: `${load}: one rule, and the files of a large company (10,000 users, 2,000 groups, 5,000 rules)`,
    figure: 'deliveredPerS',
    sides: [side('one rule'), side('a large company')],
    targets: [{ kind: 'ratio', of: 'a large company', to: 'one rule', atLeast: 0.95 }],
  }
}
